# A formula for a tap of your own. Fill in the addresses and the digest of a release.
class Olpipe < Formula
  include Language::Python::Virtualenv

  desc "Describe folders of photos with vision-language models, as valid JSON"
  homepage "https://example.org/olpipe"
  url "https://example.org/olpipe-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "python@3.13"

  def install
    # pip brings ONNX Runtime, NumPy and Pillow as wheels: to build them from their sources takes hours.
    virtualenv_create(libexec, "python3.13", without_pip: false)
    system libexec/"bin/python", "-m", "pip", "install", "--prefer-binary", "#{buildpath}[cpu]"
    bin.install_symlink libexec/"bin/olpipe"
  end

  service do
    run [opt_bin/"olpipe", "serve"]
    keep_alive successful_exit: false
    environment_variables OLPIPE_HOME: var/"olpipe"
    working_dir var
    log_path var/"log/olpipe.log"
    error_log_path var/"log/olpipe.log"
  end

  test do
    ENV["OLPIPE_HOME"] = testpath/"home"
    assert_match version.to_s, shell_output("#{bin}/olpipe --version")
    port = free_port
    ENV["OLLAMA_HOST"] = "127.0.0.1:#{port}"
    server = spawn bin/"olpipe", "serve"
    begin
      ask = "curl --silent --retry 20 --retry-connrefused http://127.0.0.1:#{port}/api/version"
      assert_match "olpipe", shell_output(ask)
    ensure
      Process.kill "TERM", server
      Process.wait server
    end
  end
end
