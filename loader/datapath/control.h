// SPDX-License-Identifier: MIT
// The memory of an instance that packets read (hw_control, hw_port_classes in abi.h). All of the loader reads it. Each
// part is written by one file, and only that file defines the class that is a friend here.
#pragma once

#include <headwind/abi.h>

#include "util/fd.h"

namespace headwind {

class Control {
public:
    Control() = default;
    explicit Control(Mapping<hw_control> memory) : memory_(std::move(memory)) {}
    const hw_control* operator->() const { return memory_.operator->(); }
    const hw_control& operator*() const { return *memory_; }

private:
    friend class DeviceWriter;    // device_table.cpp: devices
    friend class SightWriter;     // sight.cpp: sight and passed of devices
    friend class VersionWriter;   // transaction.cpp: version, tables, dirty, next_rule, longest_hold
    friend class LineWriter;      // line.cpp: line_*, route_localnet, accept_local
    friend class LoopbackWriter;  // loopback.cpp: loopback_*
    friend class SettingsWriter;  // instance.cpp: max_held, programs
    hw_control& writable() const { return *memory_; }
    Mapping<hw_control> memory_;
};

// The classes of ports, which every packet reads that a shape with classes looks at.
class PortClassMemory {
public:
    PortClassMemory() = default;
    explicit PortClassMemory(Mapping<hw_port_classes> memory) : memory_(std::move(memory)) {}
    const hw_port_classes* operator->() const { return memory_.operator->(); }

private:
    friend class VersionWriter;  // transaction.cpp
    hw_port_classes& writable() const { return *memory_; }
    Mapping<hw_port_classes> memory_;
};

}  // namespace headwind
