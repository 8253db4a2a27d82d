"""What a speed depends on beside the method: clocks, threads, flags, load; and how much memory it took."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from refseg.bench import provenance

_GPU_FACTS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "temperature.gpu", "driver_version")


def environment(device: str) -> dict[str, Any]:
    """Return versions, hardware, clocks, threads and flags, as JSON values."""
    import torch

    return provenance.environment(device) | {
        "clocks": _gpu_clocks(device) if device.startswith("cuda") else _cpu_clocks(),
        "threads": torch.get_num_threads(),
        "flags": {
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cuda": torch.version.cuda,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "environment": {k: v for k, v in sorted(os.environ.items()) if k in _FLAGS},
        },
        "load_average": os.getloadavg()[0],
    }


_FLAGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TORCHINDUCTOR_FREEZING")


def forget_peak(device: str) -> None:
    """Begin the peak of memory anew."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> dict[str, float | None]:
    """Return the peak in MiB since it began anew: of this process, and of tensors on the GPU."""
    gpu = None
    if device.startswith("cuda"):
        import torch

        gpu = torch.cuda.max_memory_allocated(device) / 2**20
    return {"process_mib": _peak_of_process(), "gpu_mib": gpu}


def _peak_of_process() -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _cpu_clocks() -> dict[str, Any]:
    """Return the MHz of each usable core now, and the largest that the system names."""
    now: list[float] = []
    largest = None
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        now = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    with contextlib.suppress(OSError, ValueError):
        largest = int(Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").read_text()) / 1e3
    return {"mhz": now, "max_mhz": largest}


def _gpu_clocks(device: str) -> dict[str, str]:
    """Return what nvidia-smi says of a card; nothing where it is not there."""
    index = device.partition(":")[2] or "0"
    query = ["nvidia-smi", f"--id={index}", f"--query-gpu={','.join(_GPU_FACTS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(_GPU_FACTS, (v.strip() for v in done.stdout.split(",")), strict=False))
