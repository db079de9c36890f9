#pragma once

#include <stdatomic.h>
#include <termios.h>

#include "vmm/loop.h"

/*
 * The user's terminal: stdin in raw mode if it is a terminal, with an escape
 * key (Ctrl-A), and stdout.  Input goes to one receiver, the serial port.
 */
struct term_receiver {
	unsigned (*room)(void *dev); /* bytes it can take now */
	void (*receive)(void *dev, const uint8_t *data, unsigned len);
	void (*send_break)(void *dev);
	void *dev;
};

enum term_key { TERM_KEY_QUIT, TERM_KEY_POWER };

struct term {
	struct loop *loop;
	struct term_receiver to;
	void (*on_key)(void *arg, enum term_key key);
	void *arg;
	struct loop_timer retry;
	struct termios saved;
	bool is_tty;
	bool escape; /* Ctrl-A was typed */
	atomic_bool closing;
};

/*
 * term_start - take the terminal over and watch stdin.  @on_key runs in the
 * main thread.  term_stop - give the terminal back as it was.
 */
int term_start(struct term *term, struct loop *loop,
	       const struct term_receiver *to,
	       void (*on_key)(void *arg, enum term_key key), void *arg);
void term_stop(struct term *term);

/* term_resume - set raw mode again after the process was stopped. */
void term_resume(struct term *term);

/*
 * term_close_output - let no writer wait for stdout any more.  term_write -
 * guest output; any thread; lost when stdout is gone.
 */
void term_close_output(struct term *term);
void term_write(struct term *term, const void *data, size_t len);
