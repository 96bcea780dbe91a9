// The format: the bytes 93 'NUMPY', version major and minor, the header's length (2 bytes in version 1, else 4), the
// header as the text of a Python dict {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, then the elements.
#include "formats/data/Npy.h"

#include "formats/base/File.h"
#include "formats/data/TextScanner.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <sys/types.h>
#include <type_traits>
#include <vector>

namespace kimic {

namespace {

constexpr std::uint64_t kMaxFileBytes = 1ull << 30;
constexpr std::string_view kMagic("\x93NUMPY", 6);

template <class T, class Number> Number elementAs(const char *bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<Number>(value);
}

struct ElementType {
  std::string_view descr; ///< as NumPy writes it, the byte order sign of one-byte types being '|'
  std::size_t bytes;
  float (*read)(const char *);
  double (*readDouble)(const char *);
  bool isInteger;
};

template <class T> constexpr ElementType typeOf(std::string_view descr) {
  return {descr, sizeof(T), elementAs<T, float>, elementAs<T, double>, std::is_integral_v<T>};
}

constexpr ElementType kElementTypes[] = {
    typeOf<float>("<f4"),         typeOf<double>("<f8"),        typeOf<std::uint8_t>("|b1"),
    typeOf<std::int8_t>("|i1"),   typeOf<std::uint8_t>("|u1"),  typeOf<std::int16_t>("<i2"),
    typeOf<std::uint16_t>("<u2"), typeOf<std::int32_t>("<i4"),  typeOf<std::uint32_t>("<u4"),
    typeOf<std::int64_t>("<i8"),  typeOf<std::uint64_t>("<u8"),
};

/// What a header says about the elements behind it.
struct ArrayLayout {
  const ElementType *type = nullptr;
  std::uint64_t rows = 0, cols = 0;
  bool isFortranOrder = false;
  std::uint64_t dataOffset = 0;
};

class NpyReader {
public:
  NpyReader(std::string_view bytes, const std::string &fileName) : bytes(bytes), fileName(fileName) {}

  Result<Matrix, Diagnostic> read() {
    KIMIC_ASSIGN(ArrayLayout layout, readLayout(bytes.size()));
    return readElements(layout);
  }

  /// `fileBytes`: of the whole file, of which `bytes` may be the beginning.
  Result<ArrayLayout, Diagnostic> readLayout(std::uint64_t fileBytes) {
    KIMIC_TRY(findHeader());
    KIMIC_TRY(readHeader());
    return layoutOf(fileBytes);
  }

private:
  std::string_view bytes;
  const std::string &fileName;
  std::string_view header;
  std::string_view elements;
  std::optional<std::string_view> descr;
  std::optional<bool> isFortranOrder;
  std::optional<std::vector<std::uint64_t>> shape;

  Diagnostic fail(ErrorId id, std::string key, std::string found, std::string expected) const {
    return Diagnostic{id, fileName, 0, std::move(key), std::move(found), std::move(expected)};
  }

  Result<void, Diagnostic> findHeader() {
    if (bytes.substr(0, kMagic.size()) != kMagic)
      return fail(ErrorId::DataBadHeader, "", excerpt(bytes.substr(0, kMagic.size())), "'\\x93NUMPY'");
    if (bytes.size() < 8)
      return fail(ErrorId::DataTruncated, "version", "end of file", "two bytes");
    unsigned major = static_cast<unsigned char>(bytes[6]);
    if (major < 1 || major > 3)
      return fail(ErrorId::DataBadHeader, "version", std::to_string(major), "1, 2 or 3");
    std::size_t lengthBytes = major == 1 ? 2 : 4;
    if (bytes.size() < 8 + lengthBytes)
      return fail(ErrorId::DataTruncated, "header length", "end of file", std::to_string(lengthBytes) + " bytes");
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < lengthBytes; ++i)
      length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[8 + i])) << (8 * i);
    std::string_view rest = bytes.substr(8 + lengthBytes);
    if (length > rest.size())
      return fail(ErrorId::DataTruncated, "header", std::to_string(rest.size()) + " bytes",
                  std::to_string(length) + " bytes");
    header = rest.substr(0, length);
    elements = rest.substr(length);
    return {};
  }

  Result<void, Diagnostic> readHeader() {
    TextScanner scanner(header);
    auto bad = [&](const char *expected) {
      return fail(ErrorId::DataBadHeader, "header", excerpt(scanner.rest()), expected);
    };
    if (!scanner.accept('{'))
      return bad("a dict: '{'");
    while (!scanner.accept('}')) {
      std::optional<std::string_view> key = readString(scanner);
      if (!key || !scanner.accept(':'))
        return bad("a quoted key and ':'");
      if (*key == "descr" && !descr) {
        if (scanner.accept('['))
          return fail(ErrorId::DataUnsupportedType, "descr", "a structured type", "a number type such as '<f4'");
        descr = readString(scanner);
        if (!descr)
          return bad("a quoted type");
      } else if (*key == "fortran_order" && !isFortranOrder) {
        isFortranOrder = readBool(scanner);
        if (!isFortranOrder)
          return bad("True or False");
      } else if (*key == "shape" && !shape) {
        shape = readShape(scanner);
        if (!shape)
          return bad("a tuple of sizes");
      } else {
        return fail(ErrorId::DataBadHeader, "header", excerpt(*key), "descr, fortran_order and shape, once each");
      }
      if (!scanner.accept(',')) {
        if (scanner.accept('}'))
          break;
        return bad("',' or '}'");
      }
    }
    if (!descr || !isFortranOrder || !shape)
      return fail(ErrorId::DataBadHeader, "header",
                  !descr   ? "no descr"
                  : !shape ? "no shape"
                           : "no fortran_order",
                  "descr, fortran_order and shape, once each");
    scanner.skipSpace();
    if (!scanner.atEnd())
      return bad("the end of the header");
    return {};
  }

  static std::optional<std::string_view> readString(TextScanner &scanner) {
    char quote = scanner.accept('\'') ? '\'' : scanner.accept('"') ? '"' : '\0';
    std::string_view rest = scanner.rest();
    std::size_t length = quote ? rest.find(quote) : std::string_view::npos;
    if (length == std::string_view::npos)
      return std::nullopt;
    scanner.skip(length + 1);
    return rest.substr(0, length);
  }

  static std::optional<bool> readBool(TextScanner &scanner) {
    scanner.skipSpace();
    for (bool value : {true, false}) {
      std::string_view word = value ? "True" : "False";
      if (scanner.rest().substr(0, word.size()) == word) {
        scanner.skip(word.size());
        return value;
      }
    }
    return std::nullopt;
  }

  static std::optional<std::vector<std::uint64_t>> readShape(TextScanner &scanner) {
    std::vector<std::uint64_t> sizes;
    if (!scanner.accept('('))
      return std::nullopt;
    while (!scanner.accept(')')) {
      std::int64_t size = 0;
      TextScanner start = scanner;
      if (scanner.readInteger(size) != NumberStatus::Ok || size < 0) {
        scanner = start;
        return std::nullopt;
      }
      sizes.push_back(static_cast<std::uint64_t>(size));
      scanner.accept('L'); // Python 2 wrote long integers so
      if (!scanner.accept(',')) {
        if (scanner.accept(')'))
          break;
        return std::nullopt;
      }
    }
    return sizes;
  }

  Result<ArrayLayout, Diagnostic> layoutOf(std::uint64_t fileBytes) {
    const ElementType *type = nullptr;
    for (const ElementType &candidate : kElementTypes) {
      bool isSame = *descr == candidate.descr;
      bool isSameByte = candidate.bytes == 1 && descr->size() == 3 && descr->substr(1) == candidate.descr.substr(1);
      if (isSame || isSameByte)
        type = &candidate;
    }
    if (!type) {
      bool isObject = descr->find('O') != std::string_view::npos;
      return fail(ErrorId::DataUnsupportedType, "descr", isObject ? "a pickled object array" : excerpt(*descr, true),
                  "little-endian numbers, such as '<f4', '<f8' or '<i4'");
    }
    if (shape->empty() || shape->size() > 2)
      return fail(ErrorId::DataUnsupportedShape, "shape", std::to_string(shape->size()) + " dimensions", "1 or 2");
    std::uint64_t rows = (*shape)[0];
    std::uint64_t cols = shape->size() == 2 ? (*shape)[1] : 1;
    std::string sizes = std::to_string(rows) + " x " + std::to_string(cols);
    if (cols == 0)
      return fail(ErrorId::DataUnsupportedShape, "shape", sizes, "at least 1 column");
    // The elements are there already: a shape that they fill exactly cannot ask for too much.
    std::uint64_t dataOffset = bytes.size() - elements.size(), dataBytes = fileBytes - dataOffset;
    std::uint64_t count = dataBytes / type->bytes;
    bool fits = rows <= count && (rows == 0 || cols <= count / rows);
    if (!fits || rows * cols * type->bytes != dataBytes)
      return fail(fits ? ErrorId::DataCountMismatch : ErrorId::DataTruncated, "shape",
                  std::to_string(dataBytes) + " bytes of data",
                  sizes + " elements of " + std::to_string(type->bytes) + " bytes");
    return ArrayLayout{type, rows, cols, *isFortranOrder, dataOffset};
  }

  Result<Matrix, Diagnostic> readElements(const ArrayLayout &layout) {
    Matrix matrix{static_cast<std::size_t>(layout.rows), static_cast<std::size_t>(layout.cols), {}};
    matrix.values.resize(matrix.rows * matrix.cols);
    for (std::size_t r = 0; r < matrix.rows; ++r)
      for (std::size_t c = 0; c < matrix.cols; ++c) {
        std::size_t index = layout.isFortranOrder ? c * matrix.rows + r : r * matrix.cols + c;
        float value = layout.type->read(elements.data() + index * layout.type->bytes);
        if (!std::isfinite(value))
          return fail(ErrorId::DataNotFinite, "element [" + std::to_string(r) + ", " + std::to_string(c) + "]",
                      std::isnan(value) ? "nan" : "infinity", "a finite float32");
        matrix.values[r * matrix.cols + c] = value;
      }
    return matrix;
  }
};

} // namespace

Result<Matrix, Diagnostic> readNpy(std::string_view bytes, const std::string &fileName) {
  return NpyReader(bytes, fileName).read();
}

Result<Matrix, Diagnostic> readNpyFile(const std::string &path) {
  KIMIC_ASSIGN(std::string bytes, readFile(path, kMaxFileBytes));
  return readNpy(bytes, path);
}

struct NpyRows::State {
  std::string path;
  ArrayLayout layout;
  std::FILE *file = nullptr;
  std::uint64_t row = 0;
  std::vector<char> bytes; ///< of one row

  ~State() {
    if (file)
      std::fclose(file);
  }
};

NpyRows::NpyRows(std::unique_ptr<State> state) : state_(std::move(state)) {}
NpyRows::NpyRows(NpyRows &&) noexcept = default;
NpyRows &NpyRows::operator=(NpyRows &&) noexcept = default;
NpyRows::~NpyRows() = default;

std::uint64_t NpyRows::rows() const { return state_->layout.rows; }
std::uint64_t NpyRows::cols() const { return state_->layout.cols; }
bool NpyRows::isInteger() const { return state_->layout.type->isInteger; }

Result<NpyRows, Diagnostic> NpyRows::open(const std::string &path) {
  constexpr std::uint64_t kMaxRowBytes = 16u << 20;
  auto state = std::make_unique<State>();
  state->path = path;
  state->file = std::fopen(path.c_str(), "rb");
  if (!state->file)
    return Diagnostic{errno == ENOENT ? ErrorId::FileNotFound : ErrorId::FileUnreadable, path, 0, "", "", ""};
  std::string head(1u << 16, '\0'); // longer headers than a few hundred bytes are those of structured types
  head.resize(std::fread(head.data(), 1, head.size(), state->file));
  off_t size = ::fseeko(state->file, 0, SEEK_END) == 0 ? ::ftello(state->file) : -1;
  if (size < static_cast<off_t>(head.size()))
    return Diagnostic{ErrorId::FileUnreadable, path, 0, "", "", "a regular file"};
  KIMIC_ASSIGN(state->layout, NpyReader(head, path).readLayout(static_cast<std::uint64_t>(size)));
  const ArrayLayout &layout = state->layout;
  if (layout.isFortranOrder && layout.cols > 1 && layout.rows > 1)
    return Diagnostic{ErrorId::DataUnsupportedShape,     path, 0, "fortran_order", "True",
                      "rows one after another (C order)"};
  if (layout.cols > kMaxRowBytes / layout.type->bytes)
    return Diagnostic{ErrorId::DataUnsupportedShape, path, 0, "shape", std::to_string(layout.cols) + " columns",
                      "rows of at most 16 MiB"};
  ::fseeko(state->file, static_cast<off_t>(layout.dataOffset), SEEK_SET);
  state->bytes.resize(static_cast<std::size_t>(layout.cols * layout.type->bytes));
  return NpyRows(std::move(state));
}

Result<void, Diagnostic> NpyRows::next(std::vector<double> &row) {
  State &state = *state_;
  const ElementType &type = *state.layout.type;
  if (std::fread(state.bytes.data(), 1, state.bytes.size(), state.file) != state.bytes.size())
    return Diagnostic{ErrorId::DataTruncated, state.path, 0, "row " + std::to_string(state.row), "end of file", ""};
  row.resize(static_cast<std::size_t>(state.layout.cols));
  for (std::size_t c = 0; c < row.size(); ++c) {
    row[c] = type.readDouble(state.bytes.data() + c * type.bytes);
    if (!std::isfinite(row[c]))
      return Diagnostic{ErrorId::DataNotFinite,
                        state.path,
                        0,
                        "element [" + std::to_string(state.row) + ", " + std::to_string(c) + "]",
                        std::isnan(row[c]) ? "nan" : "infinity",
                        "a finite number"};
  }
  ++state.row;
  return {};
}

} // namespace kimic
