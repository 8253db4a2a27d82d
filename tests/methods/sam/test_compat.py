"""segment_anything's networks must import whatever state torchvision is in."""

import os
import subprocess
import sys
import textwrap

BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")'
WORKING = {
    "__init__.py": "",
    "transforms/__init__.py": "",
    "transforms/functional.py": "resize = to_pil_image = None",
    "ops/__init__.py": "",
    "ops/boxes.py": "batched_nms = box_area = None",
}


def run(tmp_path, files, code):
    for name, text in files.items():
        path = tmp_path / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    code = textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_broken_torchvision_leaves_no_half_package(tmp_path):
    code = """
        import sys
        from refseg.methods.sam.compat import Sam, importable
        assert "segment_anything" not in sys.modules
        try:
            import segment_anything
        except RuntimeError as error:
            assert "torchvision::nms" in str(error)
        else:
            raise AssertionError("the package itself must fail as it does without us")
        with importable():
            from segment_anything.modeling import Sam as again
        assert again is Sam
    """
    run(tmp_path, {"__init__.py": BROKEN}, code)


def test_working_torchvision_keeps_the_whole_package(tmp_path):
    code = """
        from refseg.methods.sam.compat import Sam
        import segment_anything
        assert segment_anything.SamPredictor
        assert segment_anything.modeling.Sam is Sam
    """
    run(tmp_path, WORKING, code)
