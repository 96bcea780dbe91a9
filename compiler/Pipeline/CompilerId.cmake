# Writes OUTPUT, which defines kimic::compilerId(): SHA-256 of VERSION and the contents of FILES (separated by commas).
string(REPLACE "," ";" files "${FILES}")
set(digests "${VERSION}")
foreach(file ${files})
  file(SHA256 ${file} digest)
  string(APPEND digests "\n${digest}")
endforeach()
string(SHA256 id "${digests}")
file(WRITE ${OUTPUT} "#include \"kimic/ExpertStore.h\"\n\nconst char *kimic::compilerId() { return \"${id}\"; }\n")
