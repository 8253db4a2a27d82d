"""The workflows call what everybody can run here: tox environments that exist, on the Pythons that are promised."""

import configparser
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def workflow(name):
    content = yaml.safe_load((ROOT / ".github/workflows" / f"{name}.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    return content | {"on": content[True]}


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def tox_environments():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    return tox, {section.removeprefix("testenv:") for section in tox.sections() if ":" in section}


def test_there_are_these_workflows():
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "release"]


@pytest.mark.parametrize("name", ["ci", "nightly"])
def test_jobs_are_bounded_have_least_rights_and_run_environments_that_exist(name):
    content, (_, environments) = workflow(name), tox_environments()
    assert content["permissions"] == {"contents": "read"}
    called = set()
    for job in content["jobs"].values():
        assert job["runs-on"] and 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
        called |= {e for c in commands(job) for e in re.findall(r"tox -e (\w+)", c)}
        # A runner's Python and tox are those that were tested.
        assert all("-c constraints.txt" in c for c in commands(job) if "pip install" in c)
        for script in (c for c in commands(job) if c.startswith((".", "/"))):
            assert (ROOT / script.split()[0]).is_file()
    assert called and called <= environments


def test_ci_checks_style_types_and_tests_on_the_promised_pythons():
    jobs = workflow("ci")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert "tox -e tests" in commands(jobs["tests"]) and "tox -e lint" in commands(jobs["lint"])
    tests = tox_environments()[0]["testenv:tests"]["commands"].split("\n")
    assert "mypy" in tests and any(line.startswith("pytest ") for line in tests)
    assert {"push", "pull_request"} <= workflow("ci")["on"].keys()


def test_nightly_keeps_its_report_whatever_happens_and_tells_of_a_regression():
    content = workflow("nightly")
    (job,) = content["jobs"].values()
    assert content["on"]["schedule"][0]["cron"] and "workflow_dispatch" in content["on"]
    assert "tox -e nightly" in commands(job)
    kept = next(s for s in job["steps"] if s.get("uses", "").startswith("actions/upload-artifact@"))
    summary = next(s for s in job["steps"] if "GITHUB_STEP_SUMMARY" in s.get("run", ""))
    assert kept["if"] == summary["if"] == "always()"
    told = next(s for s in job["steps"] if "gh issue create" in s.get("run", ""))
    assert "failure()" in told["if"] and job["permissions"]["issues"] == "write"


def test_nightly_writes_where_the_workflow_looks_and_compares_with_the_committed_baseline():
    section = tox_environments()[0]["testenv:nightly"]
    (job,) = workflow("nightly")["jobs"].values()
    summary = next(c for c in commands(job) if "GITHUB_STEP_SUMMARY" in c)
    (written,) = re.findall(r"--markdown (\S+)", section["commands"])
    assert written in summary and section["ignore_errors"] == "true"
    (baseline,) = re.findall(r"--baseline (\S+)", section["commands"])
    assert (ROOT / baseline).is_file()


def test_nightly_s_site_has_a_folder_of_its_own():
    """A site is never written among other files."""
    commands = tox_environments()[0]["testenv:nightly"]["commands"]
    (site,) = re.findall(r"--format html --out (\S+)", commands)
    others = re.findall(r"--(?:json|markdown|runs) (\S+)", commands)
    assert others and not any(Path(site) in (Path(o), *Path(o).parents) for o in others)
