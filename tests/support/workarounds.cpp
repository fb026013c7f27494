// SPDX-License-Identifier: MIT
// Makes headwind_testing obey $HEADWIND_WITHOUT and $HEADWIND_VERSION_PLAYED.
#include "datapath/workarounds.h"

#include <cstdlib>

namespace {

std::uint64_t number_in(const char* variable)
{
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 0;
}

}  // namespace

unsigned headwind::workarounds_off()
{
    return static_cast<unsigned>(number_in("HEADWIND_WITHOUT"));
}

std::uint64_t headwind::version_played()
{
    return number_in("HEADWIND_VERSION_PLAYED");
}
