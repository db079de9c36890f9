#include "vmm/term.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CTRL_A 1
/* How long to leave stdin alone when the receiver is full. */
#define TERM_RETRY_NS 20000000ull

static const char help_text[] =
	"\nCtrl-A h  this help\n"
	"Ctrl-A x  quit ring3\n"
	"Ctrl-A p  press the guest's power button\n"
	"Ctrl-A b  send a break (Linux: magic SysRq)\n"
	"Ctrl-A s  type \"stty rows R cols C\" with this terminal's size\n"
	"Ctrl-A Ctrl-A  send Ctrl-A\n";

static void term_send(struct term *term, const void *data, size_t len)
{
	term->to.receive(term->to.dev, data, len);
}

static void term_type_size(struct term *term)
{
	struct winsize ws;
	char line[48];

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		return;
	snprintf(line, sizeof(line), "stty rows %u cols %u\r", ws.ws_row,
		 ws.ws_col);
	if (strlen(line) <= term->to.room(term->to.dev))
		term_send(term, line, strlen(line));
}

static void term_escape_key(struct term *term, uint8_t key)
{
	switch (key) {
	case 'x':
		term->on_key(term->arg, TERM_KEY_QUIT);
		break;
	case 'p':
		term->on_key(term->arg, TERM_KEY_POWER);
		break;
	case 'h':
	case '?':
		term_write(term, help_text, sizeof(help_text) - 1);
		break;
	case 'b':
		term->to.send_break(term->to.dev);
		break;
	case 's':
		term_type_size(term);
		break;
	case CTRL_A:
		term_send(term, &key, 1);
		break;
	}
}

static void term_key(struct term *term, uint8_t key)
{
	if (term->escape) {
		term->escape = false;
		term_escape_key(term, key);
	} else if (term->is_tty && key == CTRL_A) {
		term->escape = true;
	} else {
		term_send(term, &key, 1);
	}
}

static void term_readable(void *arg)
{
	struct term *term = arg;
	unsigned room = term->to.room(term->to.dev);
	uint8_t buf[256];
	ssize_t n;

	/* A full receiver must not keep the escape key from being read. */
	if (!room && !term->is_tty) {
		loop_watch_fd(term->loop, STDIN_FILENO, false);
		loop_set_timer(term->loop, &term->retry,
			       loop_now_ns() + TERM_RETRY_NS);
		return;
	}
	if (room > sizeof(buf) || term->is_tty)
		room = sizeof(buf);
	n = read(STDIN_FILENO, buf, room);
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		loop_watch_fd(term->loop, STDIN_FILENO, false);
	for (ssize_t i = 0; i < n; i++)
		term_key(term, buf[i]);
}

static void term_retry(void *arg)
{
	struct term *term = arg;

	loop_watch_fd(term->loop, STDIN_FILENO, true);
}

void term_resume(struct term *term)
{
	struct termios t = term->saved;

	if (!term->is_tty)
		return;
	t.c_iflag &= ~(ICRNL | INLCR | IGNCR | IXON | ISTRIP | BRKINT | PARMRK);
	t.c_lflag &= ~(ICANON | ECHO | ECHONL | ISIG | IEXTEN);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
}

int term_start(struct term *term, struct loop *loop,
	       const struct term_receiver *to,
	       void (*on_key)(void *arg, enum term_key key), void *arg)
{
	term->loop = loop;
	term->to = *to;
	term->on_key = on_key;
	term->arg = arg;
	term->is_tty = isatty(STDIN_FILENO) &&
		       tcgetattr(STDIN_FILENO, &term->saved) == 0;
	loop_add_timer(loop, &term->retry, term_retry, term);
	term_resume(term);
	return loop_add_fd(loop, STDIN_FILENO, term_readable, term);
}

void term_stop(struct term *term)
{
	if (term->is_tty)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &term->saved);
	term->is_tty = false;
}

void term_close_output(struct term *term)
{
	atomic_store(&term->closing, true);
}

void term_write(struct term *term, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n >= 0) {
			p += n;
			len -= n;
			continue;
		}
		if (errno == EAGAIN) {
			struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };

			poll(&fd, 1, -1);
		} else if (errno != EINTR) {
			return;
		}
		if (atomic_load(&term->closing))
			return;
	}
}
