// Asks for names the way programs do, by the C library that it is built with. Each argument is KIND=NAME; a line for each
// tells the answers, sorted: addresses (a, aaaa: getaddrinfo), a name (ptr: getnameinfo), or how many records there are (mx, txt, srv).
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void addresses(int family, const char *name) {
	struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list, *i;
	static char text[1024][INET6_ADDRSTRLEN];
	size_t n = 0;
	if (getaddrinfo(name, NULL, &hints, &list)) {
		puts("none");
		return;
	}
	for (i = list; i && n < 1024; i = i->ai_next)
		getnameinfo(i->ai_addr, i->ai_addrlen, text[n++], INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(list);
	qsort(text, n, sizeof text[0], compare);
	if (n > 8) {
		printf("%zu addresses\n", n);
		return;
	}
	for (size_t k = 0; k < n; k++) printf("%s%s", k ? " " : "", text[k]);
	puts("");
}

static void name_of(const char *addr) {
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;
	char host[NI_MAXHOST];
	if (getaddrinfo(addr, NULL, &hints, &list)) {
		puts("bad address");
		return;
	}
	puts(getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host, NULL, 0, NI_NAMEREQD) ? "none" : host);
	freeaddrinfo(list);
}

static void records(int type, const char *name) {
	static unsigned char answer[65535];
	ns_msg msg;
	int n = res_query(name, ns_c_in, type, answer, sizeof answer);
	if (n < 0 || ns_initparse(answer, n, &msg))
		puts("none");
	else
		printf("%d\n", ns_msg_count(msg, ns_s_an));
}

int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		char *name = strchr(argv[i], '=');
		if (!name) return 2;
		*name++ = 0;
		if (!strcmp(argv[i], "a")) addresses(AF_INET, name);
		else if (!strcmp(argv[i], "aaaa")) addresses(AF_INET6, name);
		else if (!strcmp(argv[i], "ptr")) name_of(name);
		else if (!strcmp(argv[i], "mx")) records(ns_t_mx, name);
		else if (!strcmp(argv[i], "txt")) records(ns_t_txt, name);
		else if (!strcmp(argv[i], "srv")) records(ns_t_srv, name);
		else return 2;
	}
	return 0;
}
