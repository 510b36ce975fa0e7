"""libvirt's CPU feature names as OpenStack's standard traits (os-traits), as Nova reports them."""

from __future__ import annotations

from collections.abc import Iterable

TRAITS = {
    feature: f"HW_CPU_X86_{trait}"
    for feature, trait in {
        "3dnow": "3DNOW",
        "abm": "ABM",
        "aes": "AESNI",
        "avx": "AVX",
        "avx2": "AVX2",
        "avx512-vnni": "AVX512VNNI",
        "avx512-vpopcntdq": "AVX512VPOPCNTDQ",
        "avx512bw": "AVX512BW",
        "avx512cd": "AVX512CD",
        "avx512dq": "AVX512DQ",
        "avx512er": "AVX512ER",
        "avx512f": "AVX512F",
        "avx512ifma": "AVX512IFMA",
        "avx512pf": "AVX512PF",
        "avx512vbmi": "AVX512VBMI",
        "avx512vl": "AVX512VL",
        "bmi1": "BMI",
        "bmi2": "BMI2",
        "f16c": "F16C",
        "fma": "FMA3",
        "fma4": "FMA4",
        "gfni": "AVX512GFNI",
        "mmx": "MMX",
        "mpx": "MPX",
        "pclmuldq": "CLMUL",
        "pcid": "PCID",
        "pni": "SSE3",
        "sha-ni": "SHA",
        "sse": "SSE",
        "sse2": "SSE2",
        "sse4.1": "SSE41",
        "sse4.2": "SSE42",
        "sse4a": "SSE4A",
        "ssse3": "SSSE3",
        "stibp": "STIBP",
        "svm": "SVM",
        "tbm": "TBM",
        "vaes": "AVX512VAES",
        "vmx": "VMX",
        "xop": "XOP",
    }.items()
}


def cpu_traits(features: Iterable[str]) -> frozenset[str]:
    """The traits of a CPU that has `features`."""
    return frozenset(TRAITS[feature] for feature in features if feature in TRAITS)
