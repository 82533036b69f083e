"""Double precision on every device."""

from torch import Tensor


def wide(values: Tensor) -> Tensor:
    """Convert to float64; on the CPU if the device has no such numbers, as Apple's mps."""
    return (values.cpu() if values.device.type == "mps" else values).double()
