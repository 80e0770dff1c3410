// The package has no types. An ambient module can neither import at its top nor choose its exports.
/* eslint-disable no-restricted-syntax */
declare module 'bcrypt-pbkdf' {
  const bcrypt: {
    /** One bcrypt hash as bcrypt_pbkdf has it: 64 bytes and 64 bytes in, 32 bytes out. */
    hash(passphraseHash: Uint8Array, saltHash: Uint8Array, out: Uint8Array): void
  }
  export default bcrypt
}
