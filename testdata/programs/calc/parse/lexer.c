#include "lexer.h"

#include <stdio.h>

static inline __attribute__((always_inline)) int is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}

static inline __attribute__((always_inline)) const char *skip_space(const char *at) {
  while (is_space(*at))
    at++;
  return at;
}

static long read_number(struct lexer *lexer) {
  long value = 0;
  for (; is_digit(*lexer->at); lexer->at++)
    value = value * 10 + (*lexer->at - '0');
  return value;
}

void lexer_complain(const char *at) {
  fprintf(stderr, "not understood: %s\n", at);
}

#define ONE(character, token_kind) \
  case character:                  \
    lexer->at++;                   \
    result.kind = token_kind;      \
    break;

struct token lexer_next(struct lexer *lexer) {
  struct token result = {T_BAD, 0};
  lexer->at = skip_space(lexer->at);
  lexer->read++;
  if (is_digit(*lexer->at)) {
    result.kind = T_NUMBER;
    result.value = read_number(lexer);
    return result;
  }
  switch (*lexer->at) {
    ONE('+', T_PLUS)
    ONE('-', T_MINUS)
    ONE('*', T_STAR)
    ONE('/', T_SLASH)
    ONE('%', T_PERCENT)
    ONE('^', T_CARET) ONE('(', T_OPEN) ONE(')', T_CLOSE)
    case '\0':
      result.kind = T_END;
      break;
    default:
      lexer_complain(lexer->at);
  }
  return result;
}
