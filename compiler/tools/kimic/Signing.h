// Ed25519 signatures of packs, formats/spec/pack-v1.md §3. Needs OpenSSL's libcrypto.
#pragma once

#include "formats/pack/PackFormat.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace kimic::tool {

using PublicKey = std::array<std::uint8_t, 32>;

/// A private key as PEM text (PKCS #8), as `openssl genpkey -algorithm ed25519` makes it.
std::string generateKey();

/// The key that the file holds; a Failure if it is no Ed25519 key in PEM.
PublicKey publicKeyOfPrivate(const std::string &path);

/// A public key as 64 hexadecimal digits, or as the name of a file with them or with PEM.
PublicKey readPublicKey(const std::string &text);

/// The slot that signs the pack with this digest. `path`: a private key.
pack::SignatureSlot sign(const Digest &packDigest, const std::string &path);

/// Whether the slot's signature is that of its key under the pack with this digest.
bool isValid(const pack::SignatureSlot &slot, const Digest &packDigest);

/// Throws SignatureWrong if a slot of a trusted key is not valid, SignatureMissing if no slot has a trusted key.
/// Returns the key that counted.
PublicKey requireSignature(const std::string &pack, std::span<const pack::SignatureSlot> slots,
                           const Digest &packDigest, std::span<const PublicKey> trusted);

} // namespace kimic::tool
