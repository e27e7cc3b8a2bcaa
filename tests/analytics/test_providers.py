import pytest

from analytics.providers import CPU, Wish, called, choose

CUDA, OPENVINO = "CUDAExecutionProvider", "OpenVINOExecutionProvider"
ALL = ["AzureExecutionProvider", CPU, OPENVINO, CUDA]


@pytest.mark.parametrize(
    ("available", "wish", "order"),
    [
        ([CPU, "AzureExecutionProvider"], "auto", [CPU]),
        (ALL, "auto", [CUDA, OPENVINO, CPU]),
        ([OPENVINO, CPU], "auto", [OPENVINO, CPU]),
        (ALL, "cpu", [CPU]),
        (ALL, "openvino", [OPENVINO, CPU]),
        ([CPU], "cuda", [CPU]),
    ],
)
def test_the_best_that_is_installed_is_tried_first_and_the_processor_last(
    available: list[str], wish: Wish, order: list[str]
) -> None:
    assert choose(available, wish) == order


def test_they_have_our_names_and_strangers_their_own() -> None:
    assert [called(one) for one in (CPU, CUDA, "AzureExecutionProvider")] == ["cpu", "cuda", "AzureExecutionProvider"]
