// The JSON that commands print.
#pragma once

#include "formats/data/Matrix.h"

#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace kimic::tool {

using Json = nlohmann::ordered_json;

/// A float32 as the shortest decimal that reads back as the same float32. JSON has no number for the others: they
/// become the strings "NaN", "Infinity" and "-Infinity", which Number() of JavaScript and float() of Python read.
Json number(float value);

/// One array of numbers.
Json numbers(std::span<const float> values);

/// One array per row.
Json rows(const Matrix &matrix);

/// The value as text with one member of an object, or element of an array of arrays or objects, on a line; arrays of
/// plain values stay on one. Ends with a line feed.
std::string pretty(const Json &value);

/// The shortest decimal that reads back as the same float32; "nan", "inf", "-inf".
std::string shortest(float value);

} // namespace kimic::tool
