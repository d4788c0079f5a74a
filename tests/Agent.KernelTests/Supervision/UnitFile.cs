using Agent.TestNet;

namespace Agent.KernelTests.Supervision;

/// <summary>What systemd/sg-agentd.service takes away, for a daemon that no systemd starts.</summary>
internal static class UnitFile
{
    private const string Service = "sg-agentd.service";

    private static readonly string[] Lines = File.ReadAllLines(
        Path.Combine(BuiltProgram.RepositoryRoot(), "systemd", Service));

    /// <summary>Words behind all assignments of a key.</summary>
    public static string[] Values(string key) => [.. Lines
        .Where(line => line.StartsWith(key + "=", StringComparison.Ordinal))
        .SelectMany(line => line[(key.Length + 1)..].Split(' '))];

    /// <summary>setpriv's arguments: the user, the unit's capabilities, and no way to more.</summary>
    public static string SetPrivileges(int user)
    {
        string capabilities = string.Join(
            ',', Values("CapabilityBoundingSet").Select(name => "+" + name["CAP_".Length..].ToLowerInvariant()));
        return $"setpriv --reuid={user} --regid={user} --clear-groups --bounding-set=-all,{capabilities}"
            + $" --inh-caps=-all,{capabilities} --ambient-caps=-all,{capabilities} --no-new-privs --";
    }

    /// <summary>
    /// Compiles a program that becomes another one behind the unit's SystemCallFilter and RestrictAddressFamilies: what
    /// they do not let through is EPERM (seccomp(2)).
    /// </summary>
    /// <param name="folder">Where it goes.</param>
    public static string CompileFilter(string folder)
    {
        IEnumerable<string> calls = AllowedCalls().Order(StringComparer.Ordinal)
            .Select(name => $"#ifdef SYS_{name}\nSYS_{name},\n#endif\n");
        string families = string.Concat(Values("RestrictAddressFamilies").Select(name => $"{name}, "));
        string source = Path.Combine(folder, "filter.c");
        string program = Path.Combine(folder, "filter");
        File.WriteAllText(source, $$"""
            #include <errno.h>
            #include <linux/audit.h>
            #include <linux/filter.h>
            #include <linux/seccomp.h>
            #include <stddef.h>
            #include <sys/prctl.h>
            #include <sys/socket.h>
            #include <sys/syscall.h>
            #include <unistd.h>
            static const int calls[] = { {{string.Concat(calls)}} };
            static const int families[] = { {{families}} };
            static struct sock_filter code[4000];
            static int n;
            static void add(unsigned short op, unsigned k, unsigned char yes, unsigned char no)
            {
                code[n++] = (struct sock_filter){ op, yes, no, k };
            }
            int main(int argc, char **argv)
            {
                (void)argc;
                add(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
                for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
                    if (calls[i] == SYS_socket)
                        continue;
                    add(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
                    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
                }
                add(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0);
                add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
                add(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args), 0, 0);
                for (unsigned i = 0; i < sizeof families / sizeof *families; i++) {
                    add(BPF_JMP | BPF_JEQ | BPF_K, families[i], 0, 1);
                    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
                }
                add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT, 0, 0);
                struct sock_fprog filter = { n, code };
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
                    return 99;
                execv(argv[1], argv + 1);
                return 98;
            }
            """);
        SystemCommand.Run("cc", "-Wall", "-o", program, source);
        return program;
    }

    /// <summary>In the order of the lines: what a later one says of a call counts.</summary>
    private static HashSet<string> AllowedCalls()
    {
        HashSet<string> allowed = [];
        foreach (string line in Lines.Where(line => line.StartsWith("SystemCallFilter=", StringComparison.Ordinal)))
        {
            string value = line["SystemCallFilter=".Length..];
            IEnumerable<string> calls = value.TrimStart('~').Split(' ').SelectMany(CallsOf);
            if (value[0] == '~')
            {
                allowed.ExceptWith(calls);
            }
            else
            {
                allowed.UnionWith(calls);
            }
        }

        // systemd lets these through whatever an allow list says: the program itself has to start.
        allowed.UnionWith(CallsOf("@default"));
        allowed.Add("execve");
        return allowed;
    }

    private static IEnumerable<string> CallsOf(string name) => !name.StartsWith('@') ? [name]
        : SystemCommand.Run("systemd-analyze", "--no-pager", "syscall-filter", name).Split('\n')
            .Where(line => line.StartsWith(' ')).Select(line => line.Trim())
            .Where(line => !line.StartsWith('#')).SelectMany(CallsOf);
}
