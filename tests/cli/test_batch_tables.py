"""`olpipe batch` with a table of photos."""


def test_photos_in_a_column_are_described(batch, tmp_path):
    batch.put("a.jpg", "b.jpg", "c.jpg")
    table = tmp_path / "table.csv"
    table.write_text(f"id,path\n1,{batch.photos / 'a.jpg'}\n2,{batch.photos / 'c.jpg'}\n3,nowhere.jpg\n")
    code, said = batch.run("--files-from", table, "--column", "path", inputs=[])
    assert (code, batch.files) == (3, ["a.jpg", "c.jpg"])
    assert "1 file of the list not found: `nowhere.jpg`" in said


def test_mistakes_with_columns_are_one_line_and_a_hint(batch, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("id,path\n")
    wrong = f"error: `{table}` has no column `paht`\nhint: did you mean `path`?\n"
    assert batch.run("--files-from", table, "--column", "paht", inputs=[]) == (2, wrong)
    alone = "error: `--column` names a column, and no table is given\nhint: give it with `--files-from FILE`\n"
    assert batch.run("--column", "path") == (2, alone)
