#include "compiler/tools/kimic/Signing.h"

#include "compiler/tools/kimic/Command.h"
#include "formats/base/File.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <memory>
#include <openssl/evp.h>
#include <openssl/pem.h>

namespace kimic::tool {

namespace {

struct Free {
  void operator()(EVP_PKEY *key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX *context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY_CTX *context) const { EVP_PKEY_CTX_free(context); }
  void operator()(BIO *bio) const { BIO_free(bio); }
};
template <class T> using Owned = std::unique_ptr<T, Free>;
using Key = Owned<EVP_PKEY>;

constexpr std::uint64_t kMaxKeyBytes = 64 << 10;

Failure cryptoFailure() { return Failure(ExitCode::Failure, "libcrypto does not do Ed25519"); }

/// What is signed: pack-v1 §3.
std::array<std::uint8_t, 46> messageOf(const Digest &packDigest) {
  constexpr std::string_view kName = "kimic-pack-v1";
  std::array<std::uint8_t, 46> message{};
  std::copy(kName.begin(), kName.end(), message.begin());
  std::copy(packDigest.begin(), packDigest.end(), message.begin() + kName.size() + 1);
  return message;
}

/// Whether `pkey` is an Ed25519 key; its public half goes to `key`.
bool hasPublicHalf(EVP_PKEY *pkey, PublicKey &key) {
  std::size_t length = key.size();
  return pkey && EVP_PKEY_id(pkey) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(pkey, key.data(), &length) == 1 &&
         length == key.size();
}

Owned<BIO> bioOf(const std::string &text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// No questions on the terminal: a key with a passphrase is refused.
int noPassphrase(char *, int, int, void *) { return -1; }

Key readPrivate(const std::string &path) {
  std::string text = take(readFile(path, kMaxKeyBytes));
  Owned<BIO> bio = bioOf(text);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, noPassphrase, nullptr));
  PublicKey ignored;
  if (!hasPublicHalf(key.get(), ignored))
    throw Failure(ExitCode::Failure, path + ": no private Ed25519 key in PEM without a passphrase");
  return key;
}

bool parseHex(std::string_view text, PublicKey &key) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  if (text.size() != 2 * key.size())
    return false;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const char *begin = text.data() + 2 * i;
    if (auto [end, error] = std::from_chars(begin, begin + 2, key[i], 16); error != std::errc() || end != begin + 2)
      return false;
  }
  return true;
}

} // namespace

std::string generateKey() {
  Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  EVP_PKEY *made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 || EVP_PKEY_keygen(context.get(), &made) != 1)
    throw cryptoFailure();
  Key key(made);
  Owned<BIO> bio(BIO_new(BIO_s_mem()));
  char *text = nullptr;
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    throw cryptoFailure();
  const long length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

PublicKey publicKeyOfPrivate(const std::string &path) {
  PublicKey key;
  Key pkey = readPrivate(path);
  hasPublicHalf(pkey.get(), key);
  return key;
}

PublicKey readPublicKey(const std::string &text) {
  PublicKey key;
  if (parseHex(text, key))
    return key;
  std::string contents = take(readFile(text, kMaxKeyBytes));
  if (parseHex(contents, key))
    return key;
  Owned<BIO> bio = bioOf(contents);
  Key pkey(PEM_read_bio_PUBKEY(bio.get(), nullptr, noPassphrase, nullptr));
  if (!hasPublicHalf(pkey.get(), key))
    throw Failure(ExitCode::Failure, text + ": no public Ed25519 key: 64 hexadecimal digits or PEM");
  return key;
}

pack::SignatureSlot sign(const Digest &packDigest, const std::string &path) {
  Key key = readPrivate(path);
  pack::SignatureSlot slot;
  hasPublicHalf(key.get(), slot.publicKey);
  const auto message = messageOf(packDigest);
  Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  std::size_t length = slot.signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), slot.signature.data(), &length, message.data(), message.size()) != 1 ||
      length != slot.signature.size())
    throw cryptoFailure();
  return slot;
}

bool isValid(const pack::SignatureSlot &slot, const Digest &packDigest) {
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, slot.publicKey.data(), slot.publicKey.size()));
  Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  const auto message = messageOf(packDigest);
  return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), slot.signature.data(), slot.signature.size(), message.data(),
                          message.size()) == 1;
}

PublicKey requireSignature(const std::string &pack, std::span<const pack::SignatureSlot> slots,
                           const Digest &packDigest, std::span<const PublicKey> trusted) {
  const pack::SignatureSlot *good = nullptr;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (std::find(trusted.begin(), trusted.end(), slots[i].publicKey) == trusted.end())
      continue;
    if (!isValid(slots[i], packDigest))
      throw Failure(pack, makeError(ErrorId::SignatureWrong, i));
    if (!good)
      good = &slots[i];
  }
  if (!good)
    throw Failure(pack, makeError(ErrorId::SignatureMissing, slots.size()));
  return good->publicKey;
}

} // namespace kimic::tool
