// SPDX-License-Identifier: MIT
// A number of 128 bits, for products of two 64-bit numbers.
#pragma once

namespace headwind {

__extension__ using u128 = unsigned __int128;

}  // namespace headwind
