/*
 * Traffic whose every packet is accounted for.
 *
 *   traffic receive FILE PORT...                       UDP on these ports, IPv4 and IPv6
 *   traffic send FLOW ADDRESS PORT INTERVAL_MS [new]   numbered packets; "new": each from a socket of its own, so that
 *                                                      each opens a session
 *
 * The receiver replaces FILE five times a second: a line "FLOW RECEIVED LOST LATE" for each flow. LOST are numbers
 * below the highest one that are yet to come; LATE are those that came out of order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 16, FLOWS = 64, PORTS = 16, WRITE_MS = 200 };

struct packet {
    char flow[NAME];
    uint64_t number;
};

struct flow {
    char name[NAME];
    uint64_t received, next, late;
};

static struct flow flows[FLOWS];
static int flow_count;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static struct flow *flow_of(const char *name)
{
    for (int i = 0; i < flow_count; i++)
        if (strncmp(flows[i].name, name, NAME) == 0)
            return &flows[i];
    if (flow_count == FLOWS)
        return NULL;
    memcpy(flows[flow_count].name, name, NAME);
    flows[flow_count].name[NAME - 1] = 0;
    return &flows[flow_count++];
}

static void count(int fd)
{
    struct packet packet;
    while (recv(fd, &packet, sizeof packet, MSG_DONTWAIT) == sizeof packet) {
        struct flow *flow = flow_of(packet.flow);
        if (!flow)
            continue;
        flow->received++;
        if (packet.number >= flow->next)
            flow->next = packet.number + 1;
        else
            flow->late++;
    }
}

static void write_report(const char *path)
{
    char aside[4096];
    snprintf(aside, sizeof aside, "%s.new", path);
    FILE *file = fopen(aside, "w");
    if (!file)
        fail(aside);
    for (int i = 0; i < flow_count; i++)
        fprintf(file, "%s %llu %lld %llu\n", flows[i].name, (unsigned long long)flows[i].received,
                (long long)(flows[i].next - flows[i].received), (unsigned long long)flows[i].late);
    if (fclose(file) != 0 || rename(aside, path) != 0)
        fail(path);
}

static _Noreturn void receive(const char *path, int count_of_ports, char **ports)
{
    struct pollfd sockets[PORTS];
    if (count_of_ports > PORTS)
        count_of_ports = PORTS;
    for (int i = 0; i < count_of_ports; i++) {
        struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(ports[i])) };
        int fd = socket(AF_INET6, SOCK_DGRAM, 0), no = 0, room = 4 << 20;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
            fail(ports[i]);
        sockets[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
    write_report(path);
    for (int64_t due = now_ms() + WRITE_MS;;) {
        int64_t left = due - now_ms();
        if (poll(sockets, count_of_ports, left > 0 ? (int)left : 0) > 0)
            for (int i = 0; i < count_of_ports; i++)
                count(sockets[i].fd);
        if (now_ms() >= due) {
            write_report(path);
            due = now_ms() + WRITE_MS;
        }
    }
}

static int open_towards(const char *address, const char *port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
    int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        fail(address);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    void *to = is_v4 ? (void *)&v4 : (void *)&v6;
    if (fd < 0 || connect(fd, to, is_v4 ? sizeof v4 : sizeof v6) < 0)
        fail(address);
    return fd;
}

static _Noreturn void send_numbered(const char *flow, const char *address, const char *port, int interval_ms, int is_new)
{
    struct packet packet = { .number = 0 };
    snprintf(packet.flow, NAME, "%s", flow);
    int fd = open_towards(address, port);
    for (int64_t due = now_ms();; due += interval_ms) {
        int64_t left = due - now_ms();
        if (left > 0)
            usleep((useconds_t)left * 1000);
        /* A refusal of an earlier packet is told here, and this one is not sent by then: once more. Whatever else
         * keeps a packet from being sent makes it one that is lost. */
        while (send(fd, &packet, sizeof packet, 0) < 0 && errno == ECONNREFUSED)
            ;
        packet.number++;
        if (is_new) {
            close(fd);
            fd = open_towards(address, port);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "receive") == 0)
        receive(argv[2], argc - 3, argv + 3);
    if (argc >= 6 && strcmp(argv[1], "send") == 0)
        send_numbered(argv[2], argv[3], argv[4], atoi(argv[5]), argc > 6);
    fprintf(stderr, "usage: traffic receive FILE PORT... | traffic send FLOW ADDRESS PORT INTERVAL_MS [new]\n");
    return 2;
}
