#if REAL_BITS == 32
#define LM(n) n##f
#else
#undef LM
#define LM(n) n
#endif
static inline real F(exp_)(real x){return LM(exp)(x);}
static inline real F(expm1_)(real x){return LM(expm1)(x);}
static inline real F(log1p_)(real x){return LM(log1p)(x);}
static inline real F(log_)(real x){return LM(log)(x);}
static inline real F(tanh_)(real x){return LM(tanh)(x);}
static inline real F(sigmoid_)(real x){return 1/(1+LM(exp)(-x));}
static inline real F(phi_)(real x){return LM(erfc)(-x*(real)0.70710678118654752440)/2;}
static inline real F(gauss_)(real x){return LM(exp)(-x*x/2)*(real)0.39894228040143267794;}
