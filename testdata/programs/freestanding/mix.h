#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

static INLINE unsigned int rotate(unsigned int x, int by) {
  return x << by | x >> (32 - by);
}

static INLINE unsigned int mix(unsigned int a, unsigned int b) {
  a ^= rotate(b, 13);
  a += rotate(a, 5);
  return a ^ b;
}
