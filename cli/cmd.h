#pragma once

#define RING3_VERSION "0.1"

/* Subcommands: argv[0] is the subcommand's name; they return a status. */
int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
