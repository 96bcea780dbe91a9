// Text in HTML and XML. Native only.
#pragma once

#include <string>
#include <string_view>

namespace kimic {

/// `text` as character data or as a quoted attribute's value of HTML and XML: & < > " are written as entities, control
/// characters, tabs and line ends among them, as '?'.
std::string htmlEscaped(std::string_view text);

} // namespace kimic
