// SPDX-License-Identifier: MIT
// Reads a file through a stream.
#include "util/file.h"

#include <fstream>
#include <iterator>

namespace headwind {

std::string read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace headwind
