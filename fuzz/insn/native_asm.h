#pragma once

#include <signal.h>
#include <stdint.h>

/* native_asm.S */
extern const uint8_t native_out[], native_out_end[];
int native_enter(void);
void native_fault_out(int status) __attribute__((noreturn));
void native_signal(void);

/* native.c: what native_signal goes on with. */
void native_on_signal(int sig, siginfo_t *info, void *context);
