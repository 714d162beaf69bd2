/* A program that the verifier refuses: it follows what is only a number. */
__attribute__((section("tp_btf/sys_exit"), used))
int unsafe(unsigned long long *ctx) { return *(int *)ctx[1]; }
__attribute__((section("license"), used)) char LICENSE[] = "Dual BSD/GPL";
