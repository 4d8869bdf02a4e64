/* driver/repl.c: a session at the terminal.
 *
 * Lines are definitions (which replace earlier ones of the name), expressions (whose value is
 * printed) and commands, which begin with a colon: the verbs of the command line with the same
 * options, on the definitions of the session. A definition may take several lines. No error ends
 * the session.
 */
#include "driver/driver.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef DLC_HAVE_EDITLINE
#include <editline/readline.h>
#endif

typedef struct Repl {
    Driver *driver;
    const Options *options;
    bool terminal, done;
    bool dropped;  /* ctrl-C: the line and the definition it belongs to are not wanted */
    bool failed;   /* some line failed: the exit status when input is not a terminal */
    char *pending; /* lines of an unfinished definition */
    char history[1024];
} Repl;

/* ---- lines ---------------------------------------------------------------------------------- */

static char *read_plain_line(Repl *repl, const char *prompt) {
    if (repl->terminal) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t length = getline(&line, &room, stdin);
    if (length < 0) {
        free(line);
        return NULL;
    }
    if (length && line[length - 1] == '\n') line[length - 1] = 0;
    return line;
}

#ifdef DLC_HAVE_EDITLINE
static sigjmp_buf before_line;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    siglongjmp(before_line, 1);
}

/* Ctrl-C drops what is being typed. libedit has put the terminal right before it passes the signal
 * on, and begins the next line afresh. */
static char *read_edited_line(Repl *repl, const char *prompt) {
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    repl->dropped = false;
    sigaction(SIGINT, NULL, &before);
    if (sigsetjmp(before_line, 1) != 0) {
        sigaction(SIGINT, &before, NULL);
        repl->dropped = true;
        putchar('\n');
        return strdup("");
    }
    sigaction(SIGINT, &action, NULL);
    char *line = readline(prompt);
    sigaction(SIGINT, &before, NULL);
    if (line && *line) add_history(line);
    return line;
}
#endif

/* The next line without its newline, to be freed; NULL at the end of the input. */
static char *read_line(Repl *repl, const char *prompt) {
#ifdef DLC_HAVE_EDITLINE
    if (repl->terminal) return read_edited_line(repl, prompt);
#endif
    return read_plain_line(repl, prompt);
}

static void open_history(Repl *repl) {
#ifdef DLC_HAVE_EDITLINE
    const char *home = getenv("HOME");
    if (!repl->terminal || !home) return;
    snprintf(repl->history, sizeof repl->history, "%s/.dlc_history", home);
    using_history();
    read_history(repl->history);
#else
    if (repl->terminal) fputs("(built without libedit: no line editing)\n", stderr);
#endif
}

static void close_history(Repl *repl) {
#ifdef DLC_HAVE_EDITLINE
    if (repl->history[0]) write_history(repl->history);
#else
    (void)repl;
#endif
}

/* ---- commands ------------------------------------------------------------------------------- */

static const char help[] =
    "type definitions (fn, layer, optimizer, model, data, train …; a new one replaces the old)\n"
    "and expressions, such as  relu(-2)  or  sum[i < 10] i^2.  Commands:\n"
    "  :load FILE             read a file into the session\n"
    "  :models                names of the models\n"
    "  :equations [MODEL]     the model as flat equations\n"
    "  :gradient [MODEL]      the equations of its derivatives\n"
    "  :plan [MODEL]          the kernels it becomes\n"
    "  :summary [MODEL]       layers, parameters, memory\n"
    "  :train [MODEL] [OPTIONS]     as `dlc train`: --data PATH --epochs N --set lr=0.01 --save "
    "FILE …\n"
    "  :eval [OPTIONS], :predict [OPTIONS]   with the weights just trained, or --weights FILE\n"
    "  :gradcheck [MODEL]     check its derivatives\n"
    "  :check                 look for mistakes in everything\n"
    "  :help VERB             the options of a verb\n"
    "  :quit                  (also ctrl-D)\n";

static bool show_stage(Repl *repl, const char *stage, const char *model) {
    DlcOptions compile = compile_options(repl->options);
    if (model) compile.model = model;
    bool good = dlc_emit(repl->driver->dlc, &compile, stage, stdout);
    return show_messages(repl->driver, repl->options) == EXIT_GOOD && good;
}

static bool list_models(Repl *repl) {
    const char *const *names;
    size_t n = dlc_models(repl->driver->dlc, &names);
    for (size_t i = 0; i < n; i++) puts(names[i]);
    if (!n) puts("no model yet");
    return true;
}

static bool load(Repl *repl, const char *path) {
    if (!path) {
        fputs("error: :load wants a file\n", stderr);
        return false;
    }
    bool good = dlc_load(repl->driver->dlc, path);
    return show_messages(repl->driver, repl->options) == EXIT_GOOD && good;
}

static bool is_model(Repl *repl, const char *name) {
    const char *const *names;
    size_t n = dlc_models(repl->driver->dlc, &names);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* A verb with its options; a word that is a model's name chooses the model. */
static bool run_verb(Repl *repl, const Verb *verb, int nwords, char **words) {
    Options options = {0};
    const char *model = nwords && is_model(repl, words[0]) ? words[0] : NULL;
    int skip = model != NULL;
    bool good = options_parse(verb, nwords - skip, words + skip, &options);
    if (good && options.file) {
        fprintf(stderr, "error: there is no model `%s` (:models lists them; :load reads a file)\n",
                options.file);
        good = false;
    } else if (good && options.help) {
        options_help(verb, stdout);
    } else if (good) {
        if (model) options.model = model;
        good = verb->run(repl->driver, &options) == EXIT_GOOD;
    }
    options_free(&options);
    return good;
}

static bool show_help(const char *name) {
    const Verb *verb = name ? verb_find(name) : NULL;
    if (verb)
        options_help(verb, stdout);
    else
        fputs(help, stdout);
    return true;
}

static bool dispatch(Repl *repl, int n, char **words) {
    static const char *const in_session[] = {"check", "summary", "train",
                                             "eval",  "predict", "gradcheck"};
    const char *command = words[0] + 1, *argument = n > 1 ? words[1] : NULL;
    if (strcmp(command, "quit") == 0 || strcmp(command, "q") == 0) return repl->done = true;
    if (strcmp(command, "help") == 0 || strcmp(command, "h") == 0) return show_help(argument);
    if (strcmp(command, "load") == 0) return load(repl, argument);
    if (strcmp(command, "models") == 0) return list_models(repl);
    if (strcmp(command, "equations") == 0) return show_stage(repl, "ir", argument);
    if (strcmp(command, "gradient") == 0) return show_stage(repl, "diff", argument);
    if (strcmp(command, "plan") == 0) return show_stage(repl, "plan", argument);
    for (size_t i = 0; i < sizeof in_session / sizeof *in_session; i++)
        if (strcmp(command, in_session[i]) == 0)
            return run_verb(repl, verb_find(command), n - 1, words + 1);
    fprintf(stderr, "error: there is no command `:%s`; `:help` lists them\n", command);
    return false;
}

enum { MAX_WORDS = 64 };

static bool run_command(Repl *repl, char *line) {
    char *words[MAX_WORDS];
    int n = 0;
    for (char *word = strtok(line, " \t\r"); word && n < MAX_WORDS; word = strtok(NULL, " \t\r"))
        words[n++] = word;
    return n == 0 || dispatch(repl, n, words);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static bool append(Repl *repl, const char *line) {
    size_t before = repl->pending ? strlen(repl->pending) : 0;
    char *grown = realloc(repl->pending, before + strlen(line) + 2);
    if (!grown) return false;
    memcpy(grown + before, line, strlen(line));
    strcpy(grown + before + strlen(line), "\n");
    repl->pending = grown;
    return true;
}

static void forget(Repl *repl) {
    free(repl->pending);
    repl->pending = NULL;
}

/* An empty line on a terminal ends an unfinished definition: it is then parsed as it is, and
 * complains. */
static void take_line(Repl *repl, char *line) {
    const char *first = line + strspn(line, " \t\r");
    if (!repl->pending && *first == ':') {
        if (!run_command(repl, line + (first - line))) repl->failed = true;
        return;
    }
    bool empty = !*first;
    if (empty && !repl->pending) return;
    if (!append(repl, line)) return;
    DlcTyped typed = dlc_type(repl->driver->dlc, repl->pending, stdout);
    if (typed == DLC_TYPED_UNFINISHED && !(empty && repl->terminal)) return;
    if (typed == DLC_TYPED_UNFINISHED) fputs("error: unfinished; dropped\n", stderr);
    show_messages(repl->driver, repl->options);
    if (typed != DLC_TYPED_DONE) repl->failed = true;
    forget(repl);
}

static void on_busy_interrupt(int signal_number) {
    static const char text[] = "\n(still at work; ctrl-C once more ends the session)\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

/* At a terminal ctrl-C does not end the session while a line is at work: what takes long and can be
 * stopped, as training, has its own answer to it. */
static void take_line_to_the_end(Repl *repl, char *line) {
    struct sigaction action = {.sa_handler = on_busy_interrupt, .sa_flags = SA_RESETHAND}, before;
    sigaction(SIGINT, &action, &before);
    take_line(repl, line);
    sigaction(SIGINT, &before, NULL);
}

int run_repl(Driver *driver, const Options *options) {
    Repl repl = {.driver = driver, .options = options, .terminal = isatty(STDIN_FILENO)};
    driver->interactive = true;
    repl.failed = show_messages(driver, options) != EXIT_GOOD;
    if (repl.terminal) printf("dlc %s; :help for help\n", dlc_version());
    open_history(&repl);
    while (!repl.done) {
        char *line = read_line(&repl, repl.pending ? "...> " : "dlc> ");
        if (!line) break;
        if (repl.dropped)
            forget(&repl);
        else if (repl.terminal)
            take_line_to_the_end(&repl, line);
        else
            take_line(&repl, line);
        free(line);
        fflush(stdout);
    }
    if (repl.pending) {
        fputs("error: the input is not complete: a bracket is open, or its last line goes on\n",
              stderr);
        repl.failed = true;
        forget(&repl);
    }
    if (repl.terminal && !repl.done) putchar('\n');
    close_history(&repl);
    return repl.failed && !repl.terminal ? EXIT_WRONG : EXIT_GOOD;
}
