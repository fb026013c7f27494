// Workarounds for what kernels do, which tests switch off to show that each is needed (abi.h, hw_cure). A program links
// one of two definitions: loader/workarounds.cpp, where they are on and nothing switches them off, or
// tests/support/workarounds.cpp, which obeys the environment.
#pragma once

#include <cstdint>

#include <headwind/abi.h>

namespace headwind {

unsigned workarounds_off();  // a number of hw_cure bits

// Programs of another version than their own, for tests of upgrades. 0: of their own.
std::uint64_t version_played();

inline bool is_on(hw_cure workaround)
{
    return (workarounds_off() & static_cast<unsigned>(workaround)) == 0;
}

}  // namespace headwind
