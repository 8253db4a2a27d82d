"""``bench bundle`` and ``bench verify`` as commands."""

import json
import zipfile


def test_a_run_is_packed_and_verified_and_a_lie_leaves_with_4(bench, tmp_path):
    bench("run", "--method", "oracle", "--dataset", "refshapes", "--limit", 2, "--no-page", "--out", "run")
    done = bench("bundle", "run", "--out", "evidence.zip")
    assert done.code == 0 and done.out == "evidence.zip\n"
    done = bench("verify", "evidence.zip", "--jobs", 1)
    assert done.code == 0 and done.out.endswith("Verified: every figure follows from the masks.\n")
    assert "J&F 100.0" in done.out

    with zipfile.ZipFile("evidence.zip") as file:
        members = {name: file.read(name) for name in file.namelist()}
    result = json.loads(members["result.json"])
    result["metrics"]["J"] = 99.0
    members["result.json"] = json.dumps(result).encode()
    with zipfile.ZipFile("lie.zip", "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    done = bench("verify", "lie.zip", "--json", "-")
    assert done.code == 4 and not done.json["verified"]
    assert [f["where"] for f in done.json["findings"]] == ["result.json", "metrics.J"]
    done = bench("verify", "lie.zip")
    assert (
        "metrics.J is reported as 99.0; the masks give 100.0." in done.out and "NOT verified: 2" in done.out
    )


def test_what_is_no_bundle_is_refused(bench, tmp_path):
    done = bench("verify", "nothing.zip")
    assert done.code == 2 and done.sentence.startswith("nothing.zip is no file")
    assert bench("bundle", "nothing").code == 2
