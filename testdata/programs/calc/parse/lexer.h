#ifndef LEXER_H
#define LEXER_H

enum token_kind {
  T_END,
  T_NUMBER,
  T_PLUS,
  T_MINUS,
  T_STAR,
  T_SLASH,
  T_PERCENT,
  T_CARET,
  T_OPEN,
  T_CLOSE,
  T_BAD
};

struct token {
  enum token_kind kind;
  long value;
};

struct lexer {
  const char *at;
  unsigned long read;
};

struct token lexer_next(struct lexer *lexer);
void lexer_complain(const char *at) __attribute__((cold, noinline));

/* Used from two files, so that its code stands in both. */
static inline int is_digit(char c) {
  return c >= '0' && c <= '9';
}

#endif
