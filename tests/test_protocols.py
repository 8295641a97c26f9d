"""``evaluate --protocol``: SSIM, LPIPS, FID and KID as published tables have them, against formulas
that are written here once more."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from scipy import linalg, ndimage

from cli import main
from model.evaluation.fid import KID_SUBSETS, Inception
from model.evaluation.lpips_backbones import BACKBONES, LpipsBackbone, load_backbone
from model.evaluation.protocols import PROTOCOLS, Truths, clean_299
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from tests.sandboxed import require_sandbox


class Layers(torch.nn.Module):
    """In place of Inception: what clean-fid calls ``layers``, six features of 299 x 299."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv = torch.nn.Conv2d(3, 6, 7, stride=5)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, images, return_features: bool = False):
        return self.layers((images.float() - 128) / 128)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.pt"
    require_sandbox()
    torch.jit.script(Network().eval()).save(str(path))
    return path


def random_weights(name: str) -> LpipsBackbone:
    torch.manual_seed(7)
    network = LpipsBackbone(name)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.uniform_(parameter)
    return network


def written(network: LpipsBackbone, folder) -> tuple:
    """The network's weights as torchvision and lpips write theirs."""
    stack = {f"features.{k}": v for k, v in network.features.state_dict().items()}
    heads = {f"lin{i}.model.1.weight": w.view(1, -1, 1, 1) for i, w in enumerate(network.linear)}
    torch.save(stack | {"classifier.1.weight": torch.zeros(2)}, folder / "stack.pth")
    torch.save(heads, folder / "heads.pth")
    return folder / "stack.pth", folder / "heads.pth"


def lpips_once_more(stack: dict, heads: dict, name: str, a: np.ndarray, b: np.ndarray) -> float:
    """LPIPS from the papers, by bare convolutions in float64."""

    def conv(x, key, **how):
        weight, bias = (stack[f"features.{key}.{part}"].double() for part in ("weight", "bias"))
        return F.conv2d(x, weight, bias, **how).clamp_min(0)

    def fire(x, key):
        x = conv(x, f"{key}.squeeze")
        return torch.cat([conv(x, f"{key}.expand1x1"), conv(x, f"{key}.expand3x3", padding=1)], 1)

    def maps(image):
        x = torch.from_numpy(image / 255.0).permute(2, 0, 1)[None]
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
        # LPIPS' constants, of pictures in [-1, 1], are ImageNet's but for the last digit
        shift, scale = (mean * 2 - 1).round(decimals=3), (std * 2).round(decimals=3)
        x = (x * 2 - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1)
        if name == "alexnet":
            first = conv(x, 0, stride=4, padding=2)
            second = conv(F.max_pool2d(first, 3, 2), 3, padding=2)
            third = conv(F.max_pool2d(second, 3, 2), 6, padding=1)
            fourth = conv(third, 8, padding=1)
            return first, second, third, fourth, conv(fourth, 10, padding=1)
        pool = lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)
        first = conv(x, 0, stride=2)
        second = fire(fire(pool(first), 3), 4)
        third = fire(fire(pool(second), 6), 7)
        fourth = fire(pool(third), 9)
        fifth = fire(fourth, 10)
        sixth = fire(fifth, 11)
        return first, second, third, fourth, fifth, sixth, fire(sixth, 12)

    total = 0.0
    for i, (one, other) in enumerate(zip(maps(a), maps(b))):
        one, other = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (one, other))
        weighted = (one - other).square() * heads[f"lin{i}.model.1.weight"].double()
        total += float(weighted.sum(1).mean())
    return total


def ssim_once_more(a: np.ndarray, b: np.ndarray) -> float:
    """torchmetrics' default, by scipy in float64."""
    blur = lambda x: ndimage.gaussian_filter(x, 1.5, mode="mirror", radius=5, axes=(0, 1))
    a, b = a / 255.0, b / 255.0
    ma, mb = blur(a), blur(b)
    va, vb, vab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return float(
        (((2 * ma * mb + c1) * (2 * vab + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()
    )


def features_once_more(images) -> np.ndarray:
    """clean-fid's features, resized by torch's antialiased bicubic instead of Pillow's."""
    rows = []
    for image in images:
        x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
        x = F.interpolate(x, (299, 299), mode="bicubic", antialias=True).clamp(0, 255)
        with torch.no_grad():
            rows.append(Network().eval().layers((x - 128) / 128)[0].double().numpy())
    return np.array(rows)


def fid_once_more(a: np.ndarray, b: np.ndarray) -> float:
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(ca @ cb).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root))


def kid_once_more(a: np.ndarray, b: np.ndarray) -> float:
    """As few pictures as here are one subset: the mean over subsets is it."""
    m, n = a.shape
    within = (a @ a.T / n + 1) ** 3 + (b @ b.T / n + 1) ** 3
    return float((within.sum() - np.trace(within)) / (m * (m - 1))) - 2 * float(
        ((a @ b.T / n + 1) ** 3).mean()
    )


@pytest.fixture(scope="module")
def results(sample_dataset, tmp_path_factory):
    """Another program's pictures of the test people, larger than the shards: photos with noise."""
    folder = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(1)
    for category in Category:
        (folder / str(category)).mkdir()
        lines = (sample_dataset / category / "test_pairs_paired.txt").read_text().splitlines()
        for name in (line.split()[0] for line in lines[:1]):
            photo = Image.open(sample_dataset / category / "images" / name).resize((168, 224))
            noisy = np.asarray(photo).astype(int) + rng.integers(-40, 40, (224, 168, 3))
            drawn = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            drawn.save(folder / str(category) / f"{name.split('.')[0]}.png")
    return folder


@pytest.mark.parametrize("protocol", ["ladi", "catvton"])
def test_figures_equal_formulas_written_once_more(
    protocol, results, sample_dataset, sample_shards, inception_file, tmp_path
):
    backbone = PROTOCOLS[protocol].backbone
    stack, heads = written(random_weights(backbone), tmp_path)
    out = tmp_path / "figures.json"
    command = ["evaluate", sample_shards["test_paired"], "--results", f"other={results}"]
    command += ["--protocol", protocol, "--dataset", sample_dataset, "--json", out, "--limit", 1]
    command += ["--backbone", stack, "--lpips", heads, "--inception", inception_file]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    told = json.loads(out.read_text())
    found = told["methods"][0]["pictures"]["own"]["paired"]["all"]

    names = ("features.", "lin")
    weights = [torch.load(path) for path in (stack, heads)]
    assert all(any(k.startswith(n) for k in w) for n, w in zip(names, weights))
    ssim, lpips, made, truths = [], [], [], []
    for path in sorted(results.rglob("*.png")):
        photos = sample_dataset / path.parent.name / "images"
        ours = Image.open(path).convert("RGB")
        theirs = Image.open(photos / f"{path.stem}.jpg").convert("RGB")
        made.append(np.asarray(ours))
        if protocol == "ladi":
            truths.append(np.asarray(theirs))
            frame = [np.asarray(x.resize((384, 512), Image.BILINEAR)) for x in (ours, theirs)]
        else:
            small = theirs.resize((168, 224), Image.LANCZOS)
            frame = [np.asarray(ours), np.asarray(small)]
            stream = io.BytesIO()
            small.save(stream, "JPEG")  # Pillow's default quality is 75
            truths.append(np.asarray(Image.open(stream)))
        ssim.append(ssim_once_more(*frame))
        lpips.append(lpips_once_more(*weights, backbone, *frame))
    assert found["count"] == len(made) == 3
    assert found["ssim"] == pytest.approx(np.mean(ssim), abs=1e-4)
    assert found["lpips"] == pytest.approx(np.mean(lpips), rel=1e-4)
    a, b = features_once_more(made), features_once_more(truths)
    assert found["fid"] == pytest.approx(fid_once_more(a, b), rel=2e-3)
    factor = 1000 if protocol == "catvton" else 1
    assert found["kid"] == pytest.approx(factor * kid_once_more(a, b), rel=2e-3)
    card = told["protocol"]
    assert card["name"] == protocol and "original" in card["truth"] and KID_SUBSETS == 100
    assert {"frame", "ssim", "lpips", "fid, kid", "inception", "complete"} <= set(card)


def test_the_command_knows_every_protocol():
    from commands.evaluate import command

    (option,) = (p for p in command.params if p.name == "protocol_name")
    assert list(option.type.choices) == ["ours", *PROTOCOLS]


def test_clean_resize_is_that_of_torchs_antialiased_bicubic():
    picture = np.random.default_rng(0).integers(0, 256, (512, 384, 3)).astype(np.uint8)
    x = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]
    other = F.interpolate(x, (299, 299), mode="bicubic", antialias=True).clamp(0, 255)[0]
    np.testing.assert_allclose(clean_299(picture), other.numpy(), atol=0.01)


@pytest.mark.parametrize("name", BACKBONES)
def test_lpips_of_equal_pictures_is_0_and_files_come_back(name, tmp_path):
    network = random_weights(name)
    loaded = load_backbone(name, *written(network, tmp_path))
    one, other = torch.rand(2, 2, 3, 64, 48) * 2 - 1
    assert network(one, one).tolist() == [0, 0]
    assert torch.equal(loaded(one, other), network(one, other)) and (loaded(one, other) > 0).all()


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(DataError) as refused:
        load_backbone("alexnet")
    told = str(refused.value)
    assert "alexnet-owt-7be5be79.pth for --backbone" in told and "alex.pth" in told
    stack, heads = written(random_weights("squeezenet"), tmp_path)
    with pytest.raises(DataError, match="torchvision's alexnet"):
        load_backbone("alexnet", stack, heads)


def test_without_the_dataset_the_shards_photos_are_the_truth_and_that_is_said(
    results, sample_shards, tmp_path
):
    out = tmp_path / "figures.json"
    shards = str(sample_shards["test_paired"])
    options = ["--results", str(results), "--protocol", "ladi", "--json", str(out)]
    result = CliRunner().invoke(main, ["evaluate", shards, *options])
    assert result.exit_code == 0 and "--dataset" in result.output and "--backbone" in result.output
    assert "shards' own photos" in json.loads(out.read_text())["protocol"]["truth"]
    lonely = CliRunner().invoke(main, ["evaluate", shards, "--baselines", "--dataset", shards])
    assert lonely.exit_code == 2 and "--protocol" in lonely.output


def test_a_missing_original_is_named(sample_dataset, sample_shards, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        Truths(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    options = ["--protocol", "ladi", "--dataset", str(tmp_path / "empty"), "--baselines"]
    shards = str(sample_shards["test_paired"])
    result = CliRunner().invoke(main, ["evaluate", shards, *options])
    assert result.exit_code == 1 and "empty/" in result.output and "Traceback" not in result.output


def test_a_file_without_layers_is_refused_by_name(tmp_path):
    class Plain(torch.nn.Module):
        def forward(self, images):
            return images.float().mean((2, 3))

    path = tmp_path / "plain.pt"
    require_sandbox()
    torch.jit.script(Plain()).save(str(path))
    with pytest.raises(DataError, match="layers"):
        Inception(path).clean([np.zeros((8, 6, 3), np.uint8)])
