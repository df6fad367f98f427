"""stand-ins.py TORCH_LIB_FOLDER OUT_FOLDER: empty libraries in the place of NVIDIA's that torch links to (2.3 GB saved).

Each defines the symbols, with their versions, that torch's libraries import from it; none is ever called on a CPU.
libcudart is the real one: it is small, and torch calls it.
"""
import collections
import glob
import os
import re
import subprocess
import sys

torch_folder, out_folder = sys.argv[1:3]
REAL = re.compile(r"^libcudart\.so")
SYSTEM = re.compile(
    r"^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|gomp|shm|c10|c10_cuda|torch\w*|caffe2_nvrtc)\.so|ld-linux|libcuda\.so)"
)
# Symbols without a version are told by their first letters; longer ones first.
LIBRARY_OF_PREFIX = {
    "cublasLt": "libcublasLt",
    "cublas": "libcublas.",
    "cudnn": "libcudnn",
    "cusparseLt": "libcusparseLt",
    "cusparse": "libcusparse.",
    "cufft": "libcufft",
    "curand": "libcurand",
    "cusolver": "libcusolver",
    "nccl": "libnccl",
    "pnccl": "libnccl",
    "nvshmem": "libnvshmem",
    "nvrtc": "libnvrtc",
    "nvJitLink": "libnvJitLink",
    "cupti": "libcupti",
    "cuFile": "libcufile",
    "nvtx": "libnvtx",
    "nvToolsExt": "libnvToolsExt",
}


def readelf(*arguments):
    return subprocess.run(["readelf", *arguments], capture_output=True, text=True, check=True).stdout


def read_needs(libraries):
    """What torch's libraries want: names of libraries, versions per library, undefined symbols less those they define."""
    needed, versions, wanted, defined = set(), collections.defaultdict(set), set(), set()
    for library in libraries:
        names = re.findall(r"NEEDED.*\[(.*?)\]", readelf("-d", library))
        needed |= {name for name in names if not SYSTEM.match(name) and not REAL.match(name)}
        for line in readelf("-W", "--dyn-syms", library).splitlines():
            fields = line.split()
            if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
                continue
            if fields[6] == "UND":
                wanted.add(fields[7])
            else:
                defined.add(fields[7].split("@")[0])
        current = None
        for line in readelf("-W", "-V", library).splitlines():
            if found := re.search(r"File: (\S+)", line):
                current = found.group(1)
            if (found := re.search(r"Name: (\S+)\s+Flags", line)) and current:
                versions[current].add(found.group(1))
    return needed, versions, {symbol for symbol in wanted if symbol.partition("@")[0] not in defined}


def share_out(needed, versions, symbols):
    """{library: {version or '': symbols}}"""
    library_of_version = {version: library for library, all_of in versions.items() for version in all_of}
    shares = {library: collections.defaultdict(set) for library in needed}
    for symbol in symbols:
        name, _, rest = symbol.partition("@")
        version = rest.lstrip("@").split(" ")[0]
        if version in library_of_version:
            library = library_of_version[version]
        else:
            start = next((start for start in LIBRARY_OF_PREFIX if name.startswith(start)), None)
            library = start and next((one for one in needed if one.startswith(LIBRARY_OF_PREFIX[start])), None)
        if library in shares:
            shares[library][version].add(name)
    return shares


def build(library, share, all_versions):
    source, version_map = (os.path.join(out_folder, name) for name in ("source.c", "versions.map"))
    names = set().union(*share.values()) if share else set()
    with open(source, "w") as file:
        file.write("".join(f"long {name}(void){{return 0;}}\n" for name in sorted(names)) + "static int unused;\n")
    arguments = ["gcc", "-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{library}"]
    named = sorted(all_versions | {version for version in share if version})
    if named:
        with open(version_map, "w") as file:
            for version in named:
                symbols = " ".join(f"{name};" for name in sorted(share.get(version, ())))
                file.write(f"{version} {{ global: {symbols} }};\n")
        arguments.append(f"-Wl,--version-script={version_map}")
    subprocess.run([*arguments, "-o", os.path.join(out_folder, library), source], check=True)
    for path in (source, version_map):
        if os.path.exists(path):
            os.remove(path)


os.makedirs(out_folder, exist_ok=True)
# Made from torch's own files alone, also when the stand-ins of an earlier run lie among them.
earlier = set(os.listdir(out_folder))
libraries = [path for path in sorted(glob.glob(torch_folder + "/*.so*")) if os.path.basename(path) not in earlier]
needed, versions, symbols = read_needs(libraries)
shares = share_out(needed, versions, symbols)
for library, share in shares.items():
    build(library, share, versions.get(library, set()))
