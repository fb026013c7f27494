// SPDX-License-Identifier: MIT
// Tests that hw_control, which every packet reads, cannot be written outside the files that own its parts.
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include "datapath/instance.h"

namespace headwind::control_test {
namespace {

template <class Part>
constexpr bool is_read_only = !std::is_assignable_v<Part, std::remove_cvref_t<Part>>;

TEST(Control, IsReadOnlyButForTheOwnersOfItsParts)
{
    using Words = decltype((std::declval<Instance&>().control->version));
    using Devices = decltype((std::declval<Instance&>().control->devices[0]));
    using Tables = decltype((std::declval<Instance&>().control->tables[0]));
    using Line = decltype((std::declval<Instance&>().control->line_segment));
    using Whole = decltype(*std::declval<Instance&>().control);
    static_assert(is_read_only<Words> && is_read_only<Devices> && is_read_only<Tables> && is_read_only<Line> &&
                  is_read_only<Whole>);
    SUCCEED();
}

}  // namespace
}  // namespace headwind::control_test
