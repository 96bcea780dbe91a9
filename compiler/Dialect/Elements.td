// Constraints for constant arrays that MLIR does not define for these widths.
#ifndef KIMIC_ELEMENTS
#define KIMIC_ELEMENTS

include "mlir/IR/CommonAttrConstraints.td"

def F32ElementsAttr : FloatElementsAttr<32>;
def I8ElementsAttr : SignlessIntElementsAttr<8>;

#endif // KIMIC_ELEMENTS
