// Owns known answers for C++ names: each line of the table is a name and what llvm-cxxfilt 14 writes for it.

const TABLE = `
_Z1fIiEvDTplfp_fp_E void f<int>(decltype((fp) + (fp)))
_Z1fIiEvT_DTgtfp_Li3EE void f<int>(int, decltype(((fp) > (3))))
_Z1fI1AIXgtLi3ELi4EEEEvv void f<A<((3) > (4))> >()
_Z1fIiEDTcmfp_fp_ET_ decltype((fp) , (fp)) f<int>(int)
_Z1fIiEDTquLb1ELi1ELi2EET_ decltype((true) ? (1) : (2)) f<int>(int)
_Z1fIiEDTcvT_Li3EES0_ decltype((int)(3)) f<int>(int)
_Z1fIiEDTcl1gfp_EET_ decltype(g(fp)) f<int>(int)
_Z1fIiEDTnw_T_EES0_ decltype(new int) f<int>(int)
_Z1fIiEDTnw_T_piLi3EEES0_ decltype(new int(3)) f<int>(int)
_Z1fIiEDTstT_ES0_ decltype(sizeof (int)) f<int>(int)
_Z1fIJiiEEDTsZT_EDpT_ decltype(sizeof...(int, int)) f<int, int>(int, int)
_Z1fIJiiEEDTspT_EDpT_ decltype(int, int) f<int, int>(int, int)
_Z1fIiEDTtrET_ decltype(throw) f<int>(int)
_Z1fIiEDTtwLi1EET_ decltype(throw 1) f<int>(int)
_Z1fIiEDTptfp_1aET_ decltype(fp->a) f<int>(int)
_Z1fIiEDTdtfp_1aIiEET_ decltype(fp.a<int>) f<int>(int)
_Z1fIiEDTixfp_Li1EET_ decltype((fp)[1]) f<int>(int)
_Z1fIiEDTpp_fp_ET_ decltype(++(fp)) f<int>(int)
_Z1fIiEDTppfp_ET_ decltype((fp)++) f<int>(int)
_Z1fIiEDTngfp_ET_ decltype(-(fp)) f<int>(int)
_Z1fIiEDTscT_fp_ES0_ decltype(static_cast<int>(fp)) f<int>(int)
_Z1fIiEDTilLi1ELi2EEET_ decltype({1, 2}) f<int>(int)
_Z1fIiEDTtlT_Li1ELi2EEES0_ decltype(int{1, 2}) f<int>(int)
_Z1fIiEDTsrT_1aES0_ decltype(int::a) f<int>(int)
_Z1fIiEDTsrNT_1a1bE1cES0_ decltype(int::a::b::c) f<int>(int)
_Z1fIiEDTcldtfp_dnT_EES0_ decltype(fp.~int()) f<int>(int)
_Z1fIiEDTclonplfp_fp_EET_ decltype(operator+(fp, fp)) f<int>(int)
_Z1fIJiiEEDTfrplT_EDpT_ decltype(((int, int) + ...)) f<int, int>(int, int)
_Z1fILd3ff0000000000000EEvv void f<0x1p+0>()
_Z1fILf3f800000EEvv void f<0x1p+0f>()
_Z1fILDnEEvv void f<nullptr>()
_Z1fILl3EEvv void f<3l>()
_Z1fILa3EEvv void f<(signed char)3>()
_Z1fIL1E3EEvv void f<(E)3>()
_Z1fIL1En3EEvv void f<(E)-3>()
_Z1fILb1EEvv void f<true>()
_Z1fIL_Z1gvEEvv void f<g()>()
_Z1fIXadL_Z1gvEEEvv void f<&(g())>()
_Z1fILA3_KcEEvv void f<"<char const [3]>">()
_ZNK3FooIiEcvT_IcEEv Foo<int>::operator char<char>() const
_ZN3FoocvT_IcEEv Foo::operator char<char>()
_ZN1AcviEv A::operator int()
_Zli2_xy operator"" _x(unsigned long long)
_Zli2_xyPKcm operator"" _x(unsigned long long, char const*, unsigned long)
_ZZ1fvENKUlT_E_clIiEEDaS_ auto f()::'lambda'(auto)::operator()<int>(auto) const
_ZZ1fvENKUlTyT_E_clIiEEDaS_ auto f()::'lambda'<typename $T>($T)::operator()<int>($T) const
_ZZ1fvENKUlTyT_E0_clIiEEDaS_ auto f()::'lambda0'<typename $T>($T)::operator()<int>($T) const
_ZZ1fvENKUliE_clEi f()::'lambda'(int)::operator()(int) const
_ZZ1fvENUt_1gEv f()::'unnamed'::g()
_ZZ1fvE1x_0 f()::x
_ZZ1fvE1x__10_ f()::x
_ZZ1fvEs_0 f()::string literal
_ZZ1fvEd_NUlvE_clEv f()::'lambda'()::operator()()
_ZN1AC1Ev.cold A::A() (.cold)
_ZN1AC1Ev.constprop.0 A::A() (.constprop.0)
_Z1fv.isra.0.cold f() (.isra.0.cold)
_ZDC1a1bE [a, b]
_ZN1nDC1a1bEE n::[a, b]
_ZTv0_n12_N1A1fEv virtual thunk to A::f()
_ZThn8_N1A1fEv non-virtual thunk to A::f()
_ZTch0_h16_N1A1fEv covariant return thunk to A::f()
_ZTC1A0_1B construction vtable for B-in-A
_ZGR1x_ reference temporary for x
_ZGR1x0_ reference temporary for x
_ZGRZ1fvE1x_ reference temporary for f()::x
_ZTW1x thread-local wrapper routine for x
_ZTH1x thread-local initialization routine for x
_ZGVZ1fvE1x guard variable for f()::x
___Z1fv_block_invoke invocation function for block in f()
___Z1fv_block_invoke_2 invocation function for block in f()
_Z1fU8__vectori f(int __vector)
_Z1fPU11objcproto1A11objc_object f(id<A>)
_Z1fDv4_f f(float vector[4])
_Z1fDv4_p f(pixel vector[4])
_Z1fPDoFvvE f(void (*)() noexcept)
_Z1fPDOLb1EEFvvE f(void (*)() noexcept(true))
_Z1fPDwiEFvvE f(void (*)() throw(int))
_Z1fM1AKFvvRE f(void (A::*)() const &)
_Z1fM1Ai f(int A::*)
_Z1fRA3_i f(int (&) [3])
_Z1fPA3_A4_i f(int (*) [3][4])
_Z1fPFPFvvEvE f(void (* (*)())())
_ZNKR1A1fEv A::f() const &
_ZNVKO1A1fEv A::f() const volatile &&
_ZNSsC1Ev std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string()
_ZNSaIcED1Ev std::allocator<char>::~allocator()
_ZNSolsEi std::ostream::operator<<(int)
_ZNSsC1IPcEET_ std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string<char*>(char*)
_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE1fB5cxx11Ev std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::f[abi:cxx11]()
_Z1fB5cxx11v f[abi:cxx11]()
_Z1fIiEPFvvET_ void (*f<int>(int))()
_Z1fIJEEvDpT_ void f<>()
_Z1fIJiPcEEvDpRKT_ void f<int, char*>(int const&, char* const&)
_Z1fIJiPcEEv1AIJDpT_EE void f<int, char*>(A<int, char*>)
_Z1fIiERiOT_ int& f<int>(int&&)
_Z1fIRiEvOT_ void f<int&>(int&)
_Z1fDh f(half)
_Z1fDF16_ f(_Float16)
_Z1fCd f(double complex)
_Z1fGf f(float imaginary)
_Z1fTs1A f(struct A)
_Z1fTe1A f(enum A)
_ZN12_GLOBAL__N_11fEv (anonymous namespace)::f()
_ZN1AC2I1BEEv A::A<B>()
_ZN1BCI11AEi B::B(int)
_ZN1BCI21AEi B::B(int)
_ZL1fv f()
_ZNL1n1fEv n::f()
_ZSt4cout std::cout
_ZNSt3fooE std::foo
_ZTIFvvE typeinfo for void ()
_ZTSPKc typeinfo name for char const*
_ZTAXtl1AEE template parameter object for A{}
_Z1fILi3ELj3EEvv void f<3, 3u>()
_Z1fIiEDTnxfp_ET_ decltype(noexcept (fp)) f<int>(int)
_Z1fIiEDTteT_ES0_ decltype(typeid (int)) f<int>(decltype(typeid (int)))
_Z1fIiEDTazfp_ET_ decltype(alignof (fp)) f<int>(int)
_Z1fIiEDTatT_ES0_ decltype(alignof (int)) f<int>(int)
_Z1fIiEDTdefp_ET_ decltype(*(fp)) f<int>(int)
_Z1fIiEDTadfp_ET_ decltype(&(fp)) f<int>(int)
_Z1fIiEDTu3fooT_EES0_ decltype(foo(int)) f<int>(int)
_Z1fIiEDTmcT_fp_4EES0_ decltype((int)(fp)) f<int>(int)
_Z1fIXsoKcL_Z3arrE12EEEvv void f<arr.<char const at offset 12> >()
_Z1fIiEDTLUlvE_EET_ decltype([](){...}) f<int>(int)
_Z1fIiEDTcl1gLUlvE_EEET_ decltype(g([](){...})) f<int>(int)
_Z1fIiEDTrsfp_Li1EET_ decltype((fp) >> (1)) f<int>(int)
_Z1fIiEDTaSfp_Li1EET_ decltype((fp) = (1)) f<int>(int)
_Z1fIiEDTdsfp_fp_ET_ decltype(fp.*fp) f<int>(int)
_Z1fIiEDTpmfp_fp_ET_ decltype((fp) ->* (fp)) f<int>(int)
_Z1fIiEDTcvT__Li1ELi2EEES0_ decltype((int)(1, 2)) f<int>(int)
_Z1fIiEDTsPLi1ELi2EEET_ decltype(sizeof... (1, 2)) f<int>(int)
_Z1fIiEDTfp0_ET_ decltype(fp0) f<int>(int)
_Z1fIiEDTfpK_ET_ decltype(fp) f<int>(int)
_Z1fIiEDTfL0p_ET_ decltype(fp) f<int>(int)
_Z1fIiEDTfpTET_ decltype(this) f<int>(int)
_Z1fA_i f(int [])
_Z1fRA_i f(int (&) [])
_Z1fIiEvRAsZT__i void f<int>(int (&) [sizeof...(int...)])
_Z1fIJiEEvRAsZT__i void f<int>(int (&) [sizeof...(int)])
_Z1fIiEDTtlT_di1aLi1EEES0_ decltype(int{.a = 1}) f<int>(int)
_Z1fIiEDTtlT_dxLi2ELi1EEES0_ decltype(int{[2] = 1}) f<int>(int)
_Z1fIiEDTtlT_dXLi2ELi3ELi1EEES0_ decltype(int{[2 ... 3] = 1}) f<int>(int)
_ZNSdC1Ev std::basic_iostream<char, std::char_traits<char> >::basic_iostream()
_ZNSiC1Ev std::basic_istream<char, std::char_traits<char> >::basic_istream()
_Z1fSsSaIcESbIcE f(std::string, std::allocator<char>, std::basic_string<char>)
_ZN1AdlEPv A::operator delete(void*)
_ZN1AnaEm A::operator new[](unsigned long)
_ZN1AclEv A::operator()()
_ZN1AptEv A::operator->()
_ZN1AssES_ A::operator<=>(A)
_ZN1AUb_E A::'block-literal'
_ZUb0_ 'block-literal'
_ZZ1fIiEvT_ENKUlT_E_clIcEEDaS0_ auto void f<int>(int)::'lambda'(auto)::operator()<char>(int) const
_ZZ1fIiEvT_ENKUlS_E_clES_ void f<int>(int)::'lambda'(f)::operator()(f) const
_Z1gIZ1fIiEvT_EUlT_E_EvS2_ void g<void f<int>(int)::'lambda'(auto)>(auto)
_Z1gIZ1fvEUlT_E_EvS0_ void g<f()::'lambda'(auto)>(auto)
_Z1fILe3fff8000000000000000EEvv void f<0x8p-3L>()
_Z1fILe4000c90fdaa22168c235EEvv void f<0xc.90fdaa22168c235p-2L>()
_Z1fILdbff8000000000000EEvv void f<-0x1.8p+0>()
_Z1fILd0000000000000000EEvv void f<0x0p+0>()
_Z1fILd7ff0000000000000EEvv void f<inf>()
_Z1fIiEDTcl3fooIT_EspL_Z1gvEEES0_ decltype(foo<int>(g()...)) f<int>(int)
_Z1fIiEvN9enable_ifIXsr7is_sameIT_iEE5valueEvE4typeE void f<int>(enable_if<is_same<int, int>::value, void>::type)
_ZNSt5tupleIJiEEC1IJRiELb1EEEDpOT_ std::tuple<int>::tuple<int&, true>(int&)
_Z1fIJiiEEvDpPFvT_E void f<int, int>(void (*)(int), void (*)(int))
_Z1fIJiiEJccEEvDp1AIT_T0_E void f<int, int, char, char>(A<int, char>, A<int, char>)
_Z1fIJA3_iEEvDpRT_ void f<int [3]>(int (&) [3])
_ZN1AIiEcvPT_IcEEv A<int>::operator char*<char>()
_ZN1AC1Ev.part.0 A::A() (.part.0)
_ZZZ1fvENKUlvE_clEvE1x f()::'lambda'()::operator()() const::x
_ZNK1fMUlvE_clEv f::'lambda'()::operator()() const
_ZZN1AC1EvE1x A::A()::x
_ZZN1ACI11BEiE1x A::A(int)::x
_ZNSoC2Ev std::basic_ostream<char, std::char_traits<char> >::basic_ostream()
_ZNSs4_Rep1fEv std::string::_Rep::f()
_ZNSs6appendB3fooEv std::string::append[abi:foo]()
_ZTIPDoFvvE typeinfo for void (*)() noexcept
_Z1fM1AFivE f(int (A::*)())
_Z1fPVKi f(int const volatile*)
_Z1fKPVKi f(int const volatile* const)
_Z1fPU8__vectorVKi f(int const volatile __vector*)
_Z1fU3AS1PU3AS2i f(int AS2* AS1)
_Z1fPKFvvE f(void (*)() const)
_Z1fIXadL_ZN1A1gEvEEEvv void f<&(A::g())>()
_ZN1AD5Ev A::~A()
_ZN1AC5Ev A::A()
_ZGR1x reference temporary for x
_Z1fv. f() (.)
_Z1f.1 f (.1)
_ZN1fE f
_Z1fIXtlA2_cLc1ELc2EEEEvv void f<char [2]{(char)1, (char)2}>()
_Z1fIiE1AIXfp_EET_ A<fp> f<int>(int)
_Z1fIiEDTcmcvT__Efp_ES0_ decltype(((int)()) , (fp)) f<int>(int)
_ZlsRSoRK1A operator<<(std::ostream&, A const&)
_Z1fIiEPA3_iT_ int (*f<int>(int)) [3]
_Z1fIiEM1AFvvET_ void (A::*f<int>(int))()
_ZStlsIcEvv void std::operator<<<char>()
_Z3fooIJEJiEEvv void foo<int>()
_Z1f1AIJEE f(A<>)
_Z1fILPKv0EEvv void f<(void const*)0>()
_ZZ1fvENUlvE_C1Ev f()::'lambda'()::()
_ZN1AUt_C1Ev A::'unnamed'::()
_ZN1AUlvE_D1Ev A::'lambda'()::~()
_ZZ1fiENKUliE0_clEi.constprop.0 f(int)::'lambda0'(int)::operator()(int) const (.constprop.0)
`;

/** Mangled names and what they stand for. */
export const KNOWN_ANSWERS: readonly (readonly [name: string, expected: string])[] = TABLE.trim().split("\n").map(
  (line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)],
);
