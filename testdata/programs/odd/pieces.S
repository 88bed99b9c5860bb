# Assembly: sizes and types that a compiler would never write.
        .text
        .globl  asm_add
        .type   asm_add, @function
asm_add:
        lea     (%rdi,%rsi), %eax
        ret
        .size   asm_add, . - asm_add

# A function without a size.
        .globl  asm_no_size
        .type   asm_no_size, @function
asm_no_size:
        mov     %edi, %eax
        add     $3, %eax
        ret
        nop
        nop

# A label without type or size inside of a function that has both.
        .globl  asm_inner
        .type   asm_inner, @function
asm_outer:
asm_inner:
        mov     %edi, %eax
        test    %eax, %eax
        jz      asm_label
        imul    $5, %eax
        .globl  asm_label
asm_label:
        ret
        .size   asm_inner, . - asm_inner

# A second function symbol within the first one's range, larger and smaller twins at one address.
        .type   asm_covering, @function
        .type   asm_covered, @function
        .type   asm_twin_small, @function
        .type   asm_twin_large, @function
asm_covering:
        nop
        nop
asm_covered:
        nop
        ret
        .size   asm_covered, . - asm_covered
        nop
        .size   asm_covering, . - asm_covering
asm_twin_small:
asm_twin_large:
        nop
        .size   asm_twin_small, . - asm_twin_small
        ret
        .size   asm_twin_large, . - asm_twin_large

# Data between code, with a data symbol.
        .type   asm_data, @object
asm_data:
        .quad   0x1122334455667788
        .size   asm_data, . - asm_data
        .globl  asm_after_data
        .type   asm_after_data, @function
asm_after_data:
        mov     asm_data(%rip), %eax
        xor     %edi, %eax
        ret
        .size   asm_after_data, . - asm_after_data

        .macro  twice register
        add     \register, \register
        add     $1, \register
        .endm
        .globl  asm_macro_user
        .hidden asm_macro_user
        .type   asm_macro_user, @function
asm_macro_user:
        mov     %edi, %eax
        twice   %eax
        twice   %eax
        ret
        .size   asm_macro_user, . - asm_macro_user

# Code that no symbol with a size covers, after the last function.
        .p2align 6
        nop
        ret
        .section .note.GNU-stack, "", @progbits
