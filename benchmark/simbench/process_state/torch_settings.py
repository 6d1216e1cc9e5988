"""Settings of torch."""

from __future__ import annotations

from typing import Any

from simbench.lazy import lazy_import
from simbench.process_state.setting import Setting

torch: Any = lazy_import("torch")
# Kept for good: when a guard is dropped, torch leaves the mode that it stands for.
_guards: list[Any] = []
# The smallest normal number: half of it is 0 where denormal numbers are.
SMALLEST_NORMAL = 2.0**-1022
# Backends and operations of which newer versions of torch each keep a precision of float32.
PRECISIONS = [
    *[("generic", "all"), ("cuda", "all"), ("cuda", "matmul"), ("cuda", "conv"), ("cuda", "rnn")],
    *[("mkldnn", "all"), ("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn")],
]


def _of_torch(read: Any, write: Any, same: Any = lambda before, now: bool(before == now), usual: Any = None) -> Setting:
    return Setting(read, write, same, needs="torch", usual=usual)


def _flags_of_backends() -> list[Any]:
    cudnn = torch.backends.cudnn
    return [cudnn.enabled, cudnn.benchmark, cudnn.deterministic, torch._C._get_mkldnn_enabled()]


def _write_flags_of_backends(flags: list[Any]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, mkldnn = flags
    torch._C._set_mkldnn_enabled(mkldnn)


def _readable(read: Any) -> Any:
    """Return a flag of precision; None where torch refuses to say it, since newer flags contradict it."""
    try:
        return read()
    except RuntimeError:
        return None


def _precisions() -> dict[Any, Any]:
    """Return the precision of float32 by the older flags, and by the newer ones where torch has them."""
    older = {
        "matmul": _readable(torch.get_float32_matmul_precision),
        "cudnn": _readable(lambda: torch.backends.cudnn.allow_tf32),
    }
    read = getattr(torch._C, "_get_fp32_precision_getter", None)
    return older | ({place: _readable(lambda place=place: read(*place)) for place in PRECISIONS} if read else {})


def _write_precisions(precisions: dict[Any, Any]) -> None:
    if precisions["matmul"] is not None:
        torch.set_float32_matmul_precision(precisions["matmul"])
    if precisions["cudnn"] is not None:
        torch.backends.cudnn.allow_tf32 = precisions["cudnn"]
    for place in PRECISIONS:
        if precisions.get(place) is not None:
            torch._C._set_fp32_precision_setter(*place, precisions[place])


def _seeds() -> list[Any]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


def _write_seeds(states: list[Any]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])


def _same_seeds(before: list[Any], now: list[Any]) -> bool:
    # CUDA that was started in between had no state before.
    return all(bool(torch.equal(first, second)) for first, second in zip(before, now, strict=False))


def _default_device() -> Any:
    return getattr(torch, "get_default_device", lambda: torch.device("cpu"))()


def _write_default_device(device: Any) -> None:
    # None takes away the mode that slows every call down, which setting the CPU would leave.
    torch.set_default_device(None if device.type == "cpu" else device)


def _autocasts() -> list[Any]:
    of_devices = [(torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in ("cpu", "cuda")]
    return [*of_devices, torch.is_autocast_cache_enabled()]


def _write_autocasts(values: list[Any]) -> None:
    for name, (enabled, dtype) in zip(("cpu", "cuda"), values[:2], strict=True):
        torch.set_autocast_enabled(name, enabled)
        torch.set_autocast_dtype(name, dtype)
    torch.set_autocast_cache_enabled(values[2])
    torch.clear_autocast_cache()


def _write_inference(mode: bool) -> None:
    guard = torch.inference_mode(mode)
    guard.__enter__()
    _guards.append(guard)


def _flushes_denormals() -> bool:
    return SMALLEST_NORMAL / 2 == 0


def _function_modes() -> list[Any]:
    """Return the modes that change what torch's functions do, but for that of the default device."""
    modes = torch.overrides._get_current_function_mode_stack()
    return [mode for mode in modes if not isinstance(mode, torch.utils._device.DeviceContext)]


def _write_function_modes(modes: list[Any]) -> None:
    stack = torch.overrides._get_current_function_mode_stack()
    devices = [mode for mode in stack if isinstance(mode, torch.utils._device.DeviceContext)]
    for _ in stack:
        torch.overrides._pop_mode()
    for mode in (*devices, *modes):
        torch.overrides._push_mode(mode)


def _dispatch_modes() -> list[Any]:
    return list(torch.utils._python_dispatch._get_current_dispatch_mode_stack())


def _write_dispatch_modes(modes: list[Any]) -> None:
    dispatch = torch.utils._python_dispatch
    for _ in dispatch._get_current_dispatch_mode_stack():
        dispatch._pop_mode()
    for mode in modes:
        dispatch._push_mode(mode)


def _same_objects(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(first is second for first, second in zip(before, now, strict=True))


def _saved_tensor_hooks() -> list[Any]:
    """Return the pairs of hooks on saved tensors, the latest last; nobody can look at any but the latest."""
    autograd = torch._C._autograd
    hooks: list[Any] = []
    if hasattr(autograd, "_top_saved_tensors_default_hooks"):
        while (latest := autograd._top_saved_tensors_default_hooks(True)) is not None:
            hooks.insert(0, latest)
            autograd._pop_saved_tensors_default_hooks()
        _push_saved_tensor_hooks(hooks)
    return hooks


def _push_saved_tensor_hooks(hooks: list[Any]) -> None:
    for pack, unpack in hooks:
        torch._C._autograd._push_saved_tensors_default_hooks(pack, unpack)


def _write_saved_tensor_hooks(hooks: list[Any]) -> None:
    for _ in _saved_tensor_hooks():
        torch._C._autograd._pop_saved_tensors_default_hooks()
    _push_saved_tensor_hooks(hooks)


def _hooks_of_all_modules() -> dict[str, Any]:
    module = torch.nn.modules.module
    return {name: dict(hooks) for name, hooks in vars(module).items() if _is_hooks(name, hooks)}


def _write_hooks_of_all_modules(before: dict[str, Any]) -> None:
    for name, hooks in before.items():
        kept = getattr(torch.nn.modules.module, name)
        kept.clear()
        kept.update(hooks)


def _no_hooks_of_all_modules(present: dict[str, Any]) -> dict[str, Any]:
    return {name: {} for name in present}


def _is_hooks(name: str, value: Any) -> bool:
    return name.startswith("_global_") and isinstance(value, dict)


def _usual_autocasts(_: Any) -> list[Any]:
    return [(False, torch.bfloat16), (False, torch.float16), True]


def _usual_precisions(present: dict[Any, Any]) -> dict[Any, Any]:
    """Return full precision everywhere, also on a GPU, where torch rounds products of a convolution by itself."""
    return {"matmul": "highest", "cudnn": False} | {place: "none" for place in PRECISIONS if place in present}


TORCH_SETTINGS = (
    _of_torch(
        lambda: torch.get_default_dtype(),
        lambda dtype: torch.set_default_dtype(dtype),
        usual=lambda _: torch.float32,
    ),
    _of_torch(_default_device, _write_default_device, usual=lambda _: torch.device("cpu")),
    _of_torch(_dispatch_modes, _write_dispatch_modes, _same_objects, usual=lambda _: []),
    _of_torch(_function_modes, _write_function_modes, _same_objects, usual=lambda _: []),
    _of_torch(lambda: torch.is_inference_mode_enabled(), _write_inference, usual=lambda _: False),
    _of_torch(lambda: torch.is_grad_enabled(), lambda mode: torch.set_grad_enabled(mode), usual=lambda _: True),
    _of_torch(_autocasts, _write_autocasts, usual=_usual_autocasts),
    _of_torch(_seeds, _write_seeds, _same_seeds),
    _of_torch(lambda: torch.get_num_threads(), lambda count: torch.set_num_threads(count)),
    _of_torch(
        lambda: torch.get_deterministic_debug_mode(),
        lambda mode: torch.set_deterministic_debug_mode(mode),
        usual=lambda _: 0,
    ),
    _of_torch(lambda: torch.is_anomaly_enabled(), lambda mode: torch.autograd.set_detect_anomaly(mode)),
    _of_torch(_flushes_denormals, lambda flushes: torch.set_flush_denormal(flushes), usual=lambda _: False),
    _of_torch(_flags_of_backends, _write_flags_of_backends, usual=lambda _: [True, False, False, True]),
    _of_torch(_precisions, _write_precisions, usual=_usual_precisions),
    _of_torch(_saved_tensor_hooks, _write_saved_tensor_hooks, usual=lambda _: []),
    _of_torch(_hooks_of_all_modules, _write_hooks_of_all_modules, usual=_no_hooks_of_all_modules),
)
