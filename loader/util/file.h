// SPDX-License-Identifier: MIT
// Files as text.
#pragma once

#include <string>

namespace headwind {

// The whole file; empty: it cannot be read.
std::string read_file(const std::string& path);

}  // namespace headwind
