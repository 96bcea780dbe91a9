# Writes OUTPUT, which defines `const char *FUNCTION()` of HEADER: SHA-256 of VERSION and the contents of FILES (separated
# by commas).
string(REPLACE "," ";" files "${FILES}")
set(digests "${VERSION}")
foreach(file ${files})
  file(SHA256 ${file} digest)
  string(APPEND digests "\n${digest}")
endforeach()
string(SHA256 id "${digests}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nconst char *${FUNCTION}() { return \"${id}\"; }\n")
