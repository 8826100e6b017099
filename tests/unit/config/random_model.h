#pragma once

#include "config/model.h"

#include <cstdint>

namespace culvert::config {

// A model that the language can say, out of a seed: every field is at its default half of the time.
Model random_model(std::uint64_t seed);

}  // namespace culvert::config
