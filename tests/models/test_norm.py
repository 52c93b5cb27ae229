"""Group norm keeps the precision of its input; its kernels compute the same, and its gradients."""

import itertools

import pytest
import torch

from diffbev_engine.models.norm import GroupNorm
from tests.models.interpreter import interpreted


def test_keeps_the_type_of_its_input_under_autocast():
    norm, x = GroupNorm(4, 8), torch.randn(2, 8, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x.bfloat16()).dtype == torch.bfloat16
        assert norm(x).dtype == torch.float32


def test_equals_the_library_in_full_precision_and_nearly_in_bf16():
    norm, x = GroupNorm(4, 8), 3 * torch.randn(2, 8, 5, 5) + 1
    torch.nn.init.normal_(norm.weight)
    expected = torch.nn.functional.group_norm(x, 4, norm.weight, norm.bias)
    assert torch.equal(norm(x), expected)
    assert (norm(x.bfloat16()).float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_what_follows_is_part_of_it():
    norm, x = GroupNorm(2, 4, "relu"), torch.randn(2, 4, 3, 5)
    film, add = torch.randn(2, 8), torch.randn_like(x)
    scale, shift = film[:, :, None, None].chunk(2, dim=1)
    plain = torch.nn.functional.group_norm(x, 2, norm.weight, norm.bias)
    assert torch.equal(norm(x, add=add, film=film), (plain * (1 + scale) + shift + add).relu())
    with pytest.raises(ValueError, match="before a SiLU"):
        GroupNorm(2, 4, "silu")(x, add=add)


ON_THE_CPU = """
import itertools

import torch
import torch.nn.functional as F

from diffbev_engine.models import norm, norm_kernels
from diffbev_engine.models.norm_backward_kernels import normalise_backward
from diffbev_engine.models.norm_kernels import normalise

torch.manual_seed(0)
norm_kernels._PROGRAMS, norm_kernels.TILE = 6, 128  # so that images are summed in several parts
ACTIVATIONS = {"none": lambda z: z, "relu": F.relu, "silu": F.silu}
sizes = itertools.cycle([(2, 32, 4, (3, 9)), (2, 48, 16, (3, 5)), (2, 24, 1, (2, 11))])
for name, filmed, added in itertools.product(ACTIVATIONS, (False, True), (False, True)):
    images, c, groups, size = next(sizes)
    if added and name == "silu":
        continue
    x = (2 * torch.randn(images, c, *size) + 0.5).half().contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(2, c)
    film = torch.randn(images, 2 * c).half() if filmed else None
    add = torch.randn_like(x) if added else None
    given = [None if t is None else t.double().requires_grad_() for t in (x, weight, bias, film, add)]
    z = F.group_norm(given[0], groups, given[1], given[2], 1e-5)
    if filmed:
        scale, shift = given[3][:, :, None, None].chunk(2, dim=1)
        z = z * (1 + scale) + shift
    expected = ACTIVATIONS[name](z + given[4] if added else z)
    grad = torch.randn_like(x)
    expected.backward(grad.double())
    out, kept = normalise(x, weight, bias, film, add, groups, 1e-5, name)
    how = kept, weight, bias, film, groups, name
    of_x, of_affine, of_film, of_add = normalise_backward(grad, x, out, *how, added=added)
    found = [out, of_x, *of_affine, of_film, of_add]
    for ours, theirs in zip(found, [expected, *(t if t is None else t.grad for t in given)], strict=True):
        if theirs is not None:
            assert (ours.double() - theirs).norm() < 2e-3 * theirs.norm(), (name, filmed, added)

# The operators as the compiler sees them.
for operator in (norm._normalise, norm._normalise_backward):
    operator.register_kernel("cpu")(operator._init_fn)
x = torch.randn(2, 24, 5, 4).contiguous(memory_format=torch.channels_last)
given = x, torch.randn(24), torch.randn(24), torch.randn(2, 48), torch.randn_like(x)
given = [tensor.requires_grad_() for tensor in given]
checks = "test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"
torch.library.opcheck(torch.ops.diffbev.group_norm.default, (*given, 4, 1e-5, "relu"), test_utils=checks)
print("equal")
"""


@pytest.mark.slow
def test_the_kernels_give_the_norm_and_its_gradients():
    assert interpreted(ON_THE_CPU) == "equal\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(
    ("activation", "added", "filmed"),
    [each for each in itertools.product(("none", "relu", "silu"), (0, 1), (0, 1)) if each[:2] != ("silu", 1)],
)
def test_compiled_for_a_gpu_it_gives_the_numbers_of_full_precision(activation, added, filmed):
    torch.manual_seed(0)
    norm = GroupNorm(16, 96, activation).cuda()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 96, 98, 100, device="cuda", dtype=torch.bfloat16)
    add, film = torch.randn_like(x), torch.randn(2, 192, device="cuda", dtype=torch.bfloat16)
    upstream, found = torch.randn_like(x), []
    compiled = torch.compile(norm, dynamic=False, fullgraph=True)
    for network, kind in ((norm, torch.float32), (compiled, torch.bfloat16)):
        given = [t.to(kind, copy=True).requires_grad_() for t in (x, add, film)]
        norm.zero_grad()
        out = network(given[0], add=given[1] if added else None, film=given[2] if filmed else None)
        out.backward(upstream.to(kind))
        gradients = [t.grad for t in (*given, norm.weight, norm.bias) if t.grad is not None]
        found.append([out.detach(), *gradients])
    assert len(found[0]) == len(found[1]) == 4 + added + filmed
    for exact, fast in zip(*found, strict=True):
        assert (exact - fast).norm() <= 0.01 * exact.norm()
