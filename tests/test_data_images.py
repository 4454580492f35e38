"""The IDX reader, the bundled subset and its script, folders of IDX files, digits, and OpenML by a local server."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import struct
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets._openml as sklearn_openml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tinygrad_cnn import data
from tinygrad_cnn.data import DataLoader, Images, Subset, digits, fashion_mnist, mnist, openml, read_idx
from tinygrad_cnn.data.images import SUBSET

SCRIPT = Path(__file__).parents[1] / "examples" / "make_mnist_subset.py"
FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def zipped(data: bytes) -> bytes:
    """Gzipped, without the time of day: parallel test runs must give a case the same name."""
    return gzip.compress(data, mtime=0)


def idx(array, code=0x08, zeros=0):
    """The bytes of an IDX file with this big-endian array."""
    array = np.asarray(array)
    return struct.pack(f">HBB{array.ndim}I", zeros, code, array.ndim, *array.shape) + array.tobytes()


def write_folder(folder, counts=(30, 20), suffix="", pack=bytes, classes=10):
    """MNIST's four files with made-up images of 5 x 4 pixels; returns their images and labels."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    made = []
    for count in counts:
        made += [rng.integers(256, size=(count, 5, 4)).astype(np.uint8), (np.arange(count) % classes).astype(np.uint8)]
    for name, array in zip(FILES, made, strict=True):
        (folder / f"{name}{suffix}").write_bytes(pack(idx(array)))
    return made


# ---- the IDX reader ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "stored", "dtype"),
    [
        (0x08, ">u1", np.uint8),
        (0x09, ">i1", np.int8),
        (0x0B, ">i2", np.int16),
        (0x0C, ">i4", np.int32),
        (0x0D, ">f4", np.float32),
        (0x0E, ">f8", np.float64),
    ],
)
@pytest.mark.parametrize("pack", [bytes, zipped])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 1, 3, 2), (0, 3)])
def test_reads_every_type_and_shape(tmp_path, code, stored, dtype, pack, shape):
    expected = np.random.default_rng(0).integers(0, 100, shape).astype(stored)
    path = tmp_path / "any-name.gz"  # what counts is the content
    path.write_bytes(pack(idx(expected, code)))
    array = read_idx(str(path))
    assert array.dtype == dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, expected)
    array[...] = 0  # the array is the reader's own, and can be written


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
ZIPPED = zipped(GOOD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"0 bytes, expected an IDX header of at least 4"),
        (GOOD[:3], r"3 bytes, expected an IDX header of at least 4"),
        (GOOD[:10], r"header of 10 bytes and 3 axes, expected 4 \+ 4 bytes for each axis"),
        (GOOD[:-1], r"is cut short: 39 bytes, expected 40 for uint8 of shape \(2, 3, 4\)"),
        (GOOD[:16], r"is cut short: 16 bytes, expected 40"),
        (GOOD + b"\0", r"has too much: 41 bytes, expected 40"),
        (idx(np.zeros(3, ">u1"), code=0x0D), r"is cut short: 11 bytes, expected 20 for float32 of shape \(3,\)"),
        (idx(np.zeros(3, ">u1"), code=0x0A), r"starts with the bytes 00 00 0a 01, expected those of an IDX file"),
        (idx(np.zeros(3, ">u1"), zeros=1), r"starts with the bytes 00 01 08 01, expected those of an IDX file"),
        (idx(np.zeros((), ">u1")), r"header of 5 bytes and 0 axes"),
        (struct.pack(">HBB4I", 0, 8, 4, *[2**32 - 1] * 4), r"is cut short: 20 bytes, expected 3402823"),
        (b"<!DOCTYPE html>", r"starts with the bytes 3c 21 44 4f, expected .*00 00, a type .*gzipped: 1f 8b"),
        (b"PK\x03\x04....", r"starts with the bytes 50 4b 03 04, expected"),
        (ZIPPED[:-20], r"broken gzip file \(.*\), expected a whole one"),
        (ZIPPED[:5], r"broken gzip file"),
        (ZIPPED[:12] + b"\xff" * 8 + ZIPPED[20:], r"broken gzip file"),
        (ZIPPED[:-8] + b"\0" * 8, r"broken gzip file \(CRC check failed"),
        (ZIPPED + b"rubbish", r"broken gzip file \(Not a gzipped file"),
        (zipped(b"hello, world"), r"starts with the bytes 68 65 6c 6c"),
        (zipped(GOOD[:-4]), r"is cut short: 36 bytes, expected 40"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / "digits-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^read_idx: .*digits-idx3-ubyte.gz: {message}"):
        read_idx(path)


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


# ---- a set of images ---------------------------------------------------------------------------------------


def small(**arguments):
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    return Images(images, np.array([1, 0]), classes=("a", "b"), **arguments)


def test_images_are_normalized_channel_by_channel():
    images = small(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    expected = (images.images / 255 - np.reshape([0.1, 0.2, 0.3], (3, 1, 1))) / np.reshape([0.5, 1.0, 2.0], (3, 1, 1))
    x, y = images.tensors()
    assert (x.array.dtype, y.array.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(x.array, expected, rtol=0, atol=1e-6)
    image, label = images[-1]
    np.testing.assert_array_equal(image.array, x.array[1])
    assert (label, type(label)) == (0, int)
    batch, labels = images.get_batch([1, 0, 1])
    np.testing.assert_array_equal(batch.array, x.array[[1, 0, 1]])
    assert labels.array.tolist() == [0, 1, 0]


def test_images_can_be_given_out_as_they_are():
    x, _ = small(mean=0.5, std=2.0).normalize(0, 1).tensors()
    np.testing.assert_allclose(x.array, small().images / 255, rtol=1e-6)
    assert small(white=23.0).tensors()[0].array.max() == 1.0


def test_images_can_be_taken_out():
    images = small()
    for rows in (slice(1, 2), [1], np.array([False, True])):
        part = images.take(rows)
        np.testing.assert_array_equal(part.images, images.images[1:])
        assert part.labels.tolist() == [0]
        assert part.classes == images.classes


def test_the_loader_takes_images_by_the_batch():
    train, _ = mnist()
    batches = list(DataLoader(Subset(train, range(100, 107)), 4))
    x = np.concatenate([images.array for images, _ in batches])
    np.testing.assert_array_equal(x, train.take(slice(100, 107)).tensors()[0].array)
    assert np.concatenate([labels.array for _, labels in batches]).tolist() == train.labels[100:107].tolist()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), [0, 1], r"images are uint8 \(2, 4, 4\), expected uint8 \(N, C, H, W\)"),
        (np.zeros((2, 1, 4, 4)), [0, 1], r"images are float64 \(2, 1, 4, 4\), expected uint8"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0], r"labels are int64 \(1,\), expected int64 \(2,\) for 2 images"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0.0, 1.0], r"labels are float64 \(2,\), expected int64 \(2,\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0, 10], r"labels run from 0 to 10, expected 0 to 9"),
        (np.zeros((2, 1, 4, 4), np.uint8), [-1, 3], r"labels run from -1 to 3, expected 0 to 9"),
    ],
)
def test_images_say_what_does_not_fit(images, labels, message):
    with pytest.raises(ValueError, match=f"^Images: {message}"):
        Images(images, np.array(labels))


# ---- the bundled subset ------------------------------------------------------------------------------------


def test_the_subset_holds_equal_numbers_of_each_digit():
    train, test = mnist()
    assert train.images.shape == (5000, 1, 28, 28)
    assert test.images.shape == (1000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == [500] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    distinct = {image.tobytes() for images in (train, test) for image in images.images}
    assert len(distinct) == 6000


def test_the_subset_is_normalized_as_all_of_mnist():
    x = mnist()[0].tensors()[0].array
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02


def test_the_subset_is_small_and_says_whose_it_is():
    assert sum(path.stat().st_size for path in SUBSET.iterdir()) < 1_500_000
    licence = (SUBSET / "LICENSE.txt").read_text()
    for words in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "by-sa/3.0"):
        assert words in licence


def load_script():
    spec = importlib.util.spec_from_file_location("make_mnist_subset", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_draws_the_same_number_of_each_class(tmp_path, monkeypatch):
    images, labels, _, _ = write_folder(tmp_path / "all", (90, 40))
    script = load_script()
    for out in ("one", "two"):
        arguments = [str(tmp_path / "all"), str(tmp_path / out), "--per-class", "3", "2"]
        monkeypatch.setattr("sys.argv", ["make_mnist_subset.py", *arguments])
        script.main()
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == sorted(f"{name}.gz" for name in FILES)
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    train, test = mnist(tmp_path / "one")
    assert np.bincount(train.labels).tolist() == [3] * 10
    assert np.bincount(test.labels).tolist() == [2] * 10
    places = [next(i for i, image in enumerate(images) if np.array_equal(image, drawn[0])) for drawn in train.images]
    assert places == sorted(set(places))  # each once, in their order
    assert labels[places].tolist() == train.labels.tolist()


def test_the_script_says_when_a_class_is_too_small(tmp_path, monkeypatch):
    write_folder(tmp_path / "all")
    monkeypatch.setattr("sys.argv", ["make_mnist_subset.py", str(tmp_path / "all"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="the rarest class has 3 images, expected at least 500"):
        load_script().main()


# ---- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", zipped), ("", zipped), (".gz", bytes)])
@pytest.mark.parametrize("read", [mnist, fashion_mnist])
def test_a_folder_is_read_zipped_or_not(tmp_path, suffix, pack, read):
    made = write_folder(tmp_path / "folder", suffix=suffix, pack=pack)
    train, test = read(str(tmp_path / "folder"))
    for images, (pixels, labels) in ((train, made[:2]), (test, made[2:])):
        np.testing.assert_array_equal(images.images, pixels[:, None])
        np.testing.assert_array_equal(images.labels, labels)
        assert len(images.classes) == 10


def test_a_folder_may_spell_idx_with_a_dot(tmp_path):
    made = write_folder(tmp_path)
    for name in FILES:
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    np.testing.assert_array_equal(mnist(tmp_path)[1].labels, made[3])


def test_fashion_mnist_names_its_classes(tmp_path):
    write_folder(tmp_path)
    train, _ = fashion_mnist(tmp_path)
    assert [train.classes[i] for i in (0, 5, 9)] == ["T-shirt/top", "Sandal", "Ankle boot"]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such folder, expected one with MNIST's four IDX files"):
        mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_that_lacks_a_file(tmp_path, missing):
    write_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=rf"has no file {missing} or {missing}.gz, expected MNIST's four IDX files"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (FILES[0], np.zeros(30, ">u1"), r"holds uint8 \(30,\), expected images: uint8 \(N, H, W\)"),
        (FILES[0], np.zeros((0, 5, 4), ">u1"), r"holds no image, its shape is \(0, 5, 4\); expected at least one"),
        (
            FILES[1],
            np.zeros((30, 5, 4), ">u1"),
            r"holds uint8 \(30, 5, 4\), expected labels of 30 images: uint8 \(30,\)",
        ),
        (FILES[3], np.zeros(19, ">u1"), r"holds uint8 \(19,\), expected labels of 20 images"),
        (FILES[3], np.full(20, 10, ">u1"), r"holds the label 10, expected 0 to 9"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, name, array, message):
    write_folder(tmp_path)
    (tmp_path / name).write_bytes(idx(array))
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        mnist(tmp_path)


# ---- digits ------------------------------------------------------------------------------------------------


def test_digits_are_split_with_each_digits_share():
    pixels, labels = load_digits(return_X_y=True)
    train, test = digits()
    assert (len(train), len(test)) == (1437, 360)
    shares = np.bincount(labels) / 1797
    np.testing.assert_allclose(np.bincount(test.labels) / 360, shares, atol=1 / 360)
    together = sorted(
        (image.tobytes(), int(label))
        for part in (train, test)
        for image, label in zip(part.images, part.labels, strict=True)
    )
    assert together == sorted(
        (row.astype(np.uint8).tobytes(), int(label)) for row, label in zip(pixels, labels, strict=True)
    )
    assert train.normalize(0, 1).tensors()[0].array.max() == 1.0
    assert abs(train.tensors()[0].array.mean()) < 0.02


def test_digits_repeat_with_their_seed():
    first, again, other = digits()[1].labels, digits(seed=42)[1].labels, digits(seed=1)[1].labels
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(digits(test_size=0.5)[0]) == 898


# ---- OpenML ------------------------------------------------------------------------------------------------


class OpenML:
    """A server that answers as openml.org does, with one set of images under the number 554."""

    def __init__(self, pixels, labels):
        self.asked = []
        columns = [f"pixel{i + 1}" for i in range(pixels.shape[1])]
        attributes = [*(f"@ATTRIBUTE {name} REAL" for name in columns), "@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}"]
        rows = (",".join(map(str, [*row, label])) for row, label in zip(pixels.tolist(), labels, strict=True))
        arff = "\n".join(["@RELATION mnist_784", *attributes, "@DATA", *rows, ""]).encode()
        info = {
            "id": "554", "name": "mnist_784", "version": "1", "status": "active", "format": "ARFF",
            "description": "digits", "file_id": "52667",
            "url": "https://api.openml.org/data/v1/download/52667/mnist_784.arff",
            "md5_checksum": hashlib.md5(arff).hexdigest(),
        }  # fmt: skip
        features = [
            {
                "index": str(i), "name": name, "data_type": "nominal" if name == "class" else "numeric",
                "is_target": str(name == "class").lower(), "is_ignore": "false", "is_row_identifier": "false",
                "number_of_missing_values": "0",
            }
            for i, name in enumerate([*columns, "class"])
        ]  # fmt: skip
        listed = {"data": {"dataset": [{"did": 554, "name": "mnist_784", "version": 1, "status": "active"}]}}
        qualities = {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": f"{len(pixels)}.0"}]}}
        self.pages = {
            "/api/v1/json/data/list/data_name/mnist_784/limit/2/data_version/1": json.dumps(listed).encode(),
            "/api/v1/json/data/554": json.dumps({"data_set_description": info}).encode(),
            "/api/v1/json/data/features/554": json.dumps({"data_features": {"feature": features}}).encode(),
            "/api/v1/json/data/qualities/554": json.dumps(qualities).encode(),
            "/data/v1/download/52667/mnist_784.arff": arff,
        }

    def handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                page = server.pages.get(self.path)
                self.send_response(200 if page else 412)  # OpenML's code for what it does not have
                self.end_headers()
                self.wfile.write(page or b'{"error": {"code": "372", "message": "No results"}}')

            def log_message(self, *args):
                pass

        return Handler


PIXELS = np.random.default_rng(0).integers(256, size=(50, 784))
LABELS = np.arange(50) % 10


@pytest.fixture
def server(monkeypatch):
    """OpenML on this machine: what scikit-learn asks of openml.org goes to it, and nothing leaves the machine."""
    pages = OpenML(PIXELS, LABELS)
    with ThreadingHTTPServer(("127.0.0.1", 0), pages.handler()) as local:
        thread = threading.Thread(target=local.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def open_locally(request, *args, **kwargs):
            path = urllib.request.urlparse(request.full_url).path
            return urllib.request.urlopen(f"http://127.0.0.1:{local.server_port}{path}", *args, **kwargs)

        monkeypatch.setattr(sklearn_openml, "urlopen", open_locally)
        yield pages
        local.shutdown()
        thread.join()


def test_openml_gives_the_notebooks_split(server, tmp_path):
    train, test = openml(data_home=tmp_path)
    expected = train_test_split(PIXELS, LABELS, test_size=0.2, random_state=42)
    np.testing.assert_array_equal(train.images.reshape(40, 784), expected[0])
    np.testing.assert_array_equal(test.images.reshape(10, 784), expected[1])
    np.testing.assert_array_equal(train.labels, expected[2])
    np.testing.assert_array_equal(test.labels, expected[3])
    assert train.images.shape == (40, 1, 28, 28)
    assert train.classes == tuple("0123456789")


def test_openml_is_asked_once(server, tmp_path):
    first, _ = openml(data_home=tmp_path)
    asked = list(server.asked)
    again, _ = openml(data_home=tmp_path)
    assert len(asked) == 5
    assert server.asked == asked
    np.testing.assert_array_equal(first.images, again.images)


def test_openml_has_no_such_set(server, tmp_path):
    with pytest.raises(ValueError, match="mnist_999"):
        openml("mnist_999", data_home=tmp_path)


def test_openml_refuses_what_is_no_square_image(server, tmp_path):
    changed = OpenML(PIXELS[:, :780], LABELS)
    server.pages.update(changed.pages)
    with pytest.raises(ValueError, match="openml: mnist_784: 780 columns, expected the pixels of a square image"):
        openml(data_home=tmp_path)


@pytest.mark.parametrize("value", [256, -1, 0.5])
def test_openml_refuses_what_are_no_pixels(server, tmp_path, value):
    pixels = PIXELS.astype(float)
    pixels[3, 4] = value
    server.pages.update(OpenML(pixels, LABELS).pages)
    with pytest.raises(
        ValueError, match="openml: mnist_784: values are no bytes, expected whole numbers from 0 to 255"
    ):
        openml(data_home=tmp_path)


@pytest.mark.filterwarnings("ignore:A network error occurred:UserWarning")
def test_openml_cannot_be_reached(monkeypatch, tmp_path):
    def unreachable(request, *args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(sklearn_openml, "urlopen", unreachable)
    monkeypatch.setattr(sklearn_openml.time, "sleep", lambda seconds: None)
    with pytest.raises(OSError, match=r"openml: could not download 'mnist_784' from openml.org: .*no route to host"):
        openml(data_home=tmp_path)


def test_the_public_names_are_there_and_sorted():
    assert data.__all__ == sorted(data.__all__)
    assert all(hasattr(data, name) for name in data.__all__)
