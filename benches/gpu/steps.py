"""PyTorch's half of the comparison on a GPU: the network and step of benches/pytorch/step_time.py with all
data on the device and noise made there, eager, compiled, and compiled with CUDA graphs.

    python benches/gpu/steps.py [cuda|cpu]

Prints one line of JSON for every figure: the median of a step that is waited for, and of steps that are not.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pytorch"))
import step_time  # noqa: E402

BATCHES = [256, 1024, 4096]
STEPS = 16
EPOCHS = 8


def main():
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device; name the device cpu to try this program")
    torch.backends.cuda.matmul.allow_tf32 = False
    modes = {"eager": None, "compiled": "default"}
    if device == "cuda":
        print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}))
        modes["cuda_graphs"] = "reduce-overhead"
    for batch in BATCHES:
        data = [tensor.to(device) for tensor in step_time.simulated_cells(STEPS * batch)]
        for name, mode in modes.items():
            model = step_time.Scdcc().to(device)
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True)
            loss = losses(model)
            if mode is not None:
                loss = torch.compile(loss, mode=mode)
            figures = {"batch": batch, "mode": name}
            for figure, waits in [("synced_ms", True), ("pipelined_ms", False)]:
                figures[figure] = measure(loss, optimizer, data, batch, device, waits)
            print(json.dumps(figures), flush=True)


def losses(model):
    def loss(x, counts, size_factors):
        _, _, mean, dispersion, dropout = model(x)
        return step_time.zinb_loss(counts, mean, dispersion, dropout, size_factors)

    return loss


def measure(loss, optimizer, data, batch, device, waits):
    """Median milliseconds of a step over epochs, after two that are not counted."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    for _ in range(EPOCHS + 2):
        order = torch.randperm(STEPS * batch, device=device)
        wait()
        start = time.perf_counter()
        for rows in order.split(batch):
            optimizer.zero_grad()
            value = loss(*(tensor[rows] for tensor in data))
            value.backward()
            optimizer.step()
            if waits:
                wait()
        wait()
        times.append(1e3 * (time.perf_counter() - start) / STEPS)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
