// SPDX-License-Identifier: MIT
// Workarounds for traps of the kernel, which tests switch off to show that each is needed (hw_workaround in abi.h). A
// program links one of two definitions: loader/workarounds.cpp, where all are on and nothing switches them off, or
// tests/support/workarounds.cpp, which obeys the environment.
#pragma once

#include <cstdint>

#include <headwind/abi.h>
#include <headwind/testing.h>

namespace headwind {

unsigned workarounds_off();  // hw_workaround bits

// The version that the programs claim to be of, for tests of upgrades. 0: their own.
std::uint64_t version_played();

inline bool is_on(hw_workaround workaround)
{
    return (workarounds_off() & static_cast<unsigned>(workaround)) == 0;
}

}  // namespace headwind
