// Cures that the tests take out (abi.h, hw_cure). In the headwind that is installed: none, and no way to.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include <headwind/abi.h>

namespace headwind {

// $HEADWIND_WITHOUT, a number of hw_cure bits, in the binary that the tests build for themselves.
inline unsigned cures_taken_out()
{
#ifdef HEADWIND_TESTING
    const char* text = std::getenv("HEADWIND_WITHOUT");
    return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 0)) : 0;
#else
    return 0;
#endif
}

// $HEADWIND_VERSION_PLAYED, a number, in the same binary: programs of another version, for tests of upgrades. 0: its
// own.
inline std::uint64_t version_played()
{
#ifdef HEADWIND_TESTING
    const char* text = std::getenv("HEADWIND_VERSION_PLAYED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 0;
#else
    return 0;
#endif
}

inline bool cured(hw_cure cure)
{
    return (cures_taken_out() & static_cast<unsigned>(cure)) == 0;
}

}  // namespace headwind
