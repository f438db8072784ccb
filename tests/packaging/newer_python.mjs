// Compile all modules of olpipe in a newer Python, and ask for the help there. The packages lie in a folder.
import { loadPyodide } from "pyodide";

const [checkout, packages] = process.argv.slice(2);
const python = await loadPyodide();
for (const [at, folder] of [["/checkout", checkout], ["/packages", packages]]) {
  python.FS.mkdir(at);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, at);
}
const found = await python.runPythonAsync(`
import json, sys, warnings
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = ["/checkout", "/packages"]
faults, count = [], 0
with warnings.catch_warnings():
    warnings.simplefilter("error")
    for folder in ("olpipe", "plugins", "packaging"):
        for path in sorted(Path("/checkout", folder).rglob("*.py")):
            count += 1
            try:
                compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            except (SyntaxError, Warning) as error:
                faults.append(f"{path}: {error}")
    from io import StringIO
    from contextlib import redirect_stdout
    from olpipe.cli.main import main
    with redirect_stdout(StringIO()) as said:
        try:
            main(["--help"])
        except SystemExit as ended:
            code = ended.code
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings
    rows = [f"{row.name}: {row.status}" for row in Plugins.load(Settings()).rows]
json.dumps({"python": sys.version.split()[0], "modules": count, "faults": faults, "code": code, "help": said.getvalue(), "plugins": rows})
`);
console.log(found);
