// Constant arrays of IR as C++ vectors and back.
#pragma once

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

#include <cstring>
#include <vector>

namespace kimic {

/// The elements in row-major order. REQUIRES: T is the element type.
template <class T> std::vector<T> toVector(mlir::DenseElementsAttr elements) {
  if (elements.isSplat())
    return std::vector<T>(elements.getNumElements(), elements.getSplatValue<T>());
  std::vector<T> values(elements.getNumElements());
  std::memcpy(values.data(), elements.getRawData().data(), values.size() * sizeof(T));
  return values;
}

/// A constant of `shape`, of f32, i8 or i32 as T says.
template <class T>
mlir::DenseElementsAttr toElements(mlir::MLIRContext *context, llvm::ArrayRef<std::int64_t> shape,
                                   const std::vector<T> &values) {
  mlir::Type type;
  if constexpr (std::is_same_v<T, float>)
    type = mlir::FloatType::getF32(context);
  else
    type = mlir::IntegerType::get(context, 8 * sizeof(T));
  llvm::ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
  return mlir::DenseElementsAttr::getFromRawBuffer(mlir::RankedTensorType::get(shape, type), bytes);
}

/// A constant with one number per element of a 1-D value.
template <class T> mlir::DenseElementsAttr toElements(mlir::MLIRContext *context, const std::vector<T> &values) {
  return toElements(context, {static_cast<std::int64_t>(values.size())}, values);
}

} // namespace kimic
