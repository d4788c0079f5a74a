using System.Diagnostics;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using Agent.Netlink;
using Agent.Nftables;

namespace Agent.Tests.Netlink;

/// <summary>Our constants are the kernel's: the C compiler says so.</summary>
public class UapiTests
{
    private static readonly string[] Headers =
    [
        "linux/netlink.h", "linux/rtnetlink.h", "linux/if.h", "linux/if_link.h", "linux/netfilter.h",
        "linux/netfilter/nfnetlink.h", "linux/netfilter/nf_tables.h",
        "linux/netfilter/nfnetlink_log.h",
    ];

    /// <summary>Enumerations of the value types: their C prefix.</summary>
    private static readonly (Type Type, string Prefix)[] Enums =
    [
        (typeof(NlmF), "NLM_F_"),
        (typeof(NftFamily), "NFPROTO_"),
        (typeof(NftMetaKey), "NFT_META_"),
        (typeof(NftPayloadBase), "NFT_PAYLOAD_"),
        (typeof(NftCmpOp), "NFT_CMP_"),
        (typeof(NftCtKey), "NFT_CT_"),
        (typeof(Agent.Netlink.Route.IfOper), "IF_OPER_"),
    ];

    /// <summary>Newer than the headers of Debian 12, by our own names; and names that are not the kernel's.</summary>
    private static readonly HashSet<string> NotInHeaders =
    [
        "NftaSet.Type", "NftaSet.Count", "NftTableF.Persist", "NlmF.None", "NftnlUdata.RuleComment",
        "NftnlUdata.SetKeyByteorder", "NftnlUdata.SetDataByteorder", "NftnlUdata.ByteorderInvalid",
        "NftnlUdata.ByteorderHost", "NftnlUdata.ByteorderBig",
    ];

    [Fact]
    public void Every_wire_constant_is_the_headers()
    {
        Dictionary<string, string> names = Names();
        var program = new StringBuilder();
        program.Append("#include <sys/socket.h>\n");
        foreach (string header in Headers)
        {
            program.Append($"#include <{header}>\n");
        }

        var missing = new List<string>();
        foreach ((string own, string key, long value) in Constants())
        {
            if (NotInHeaders.Contains(own))
            {
                continue;
            }

            if (names.TryGetValue(key, out string? name))
            {
                program.Append($"_Static_assert({name} == {value}, \"{own}\");\n");
            }
            else
            {
                missing.Add(own);
            }
        }

        Assert.Empty(missing);
        (int code, string errors) = Compile(program.ToString());
        Assert.True(code == 0, errors);
    }

    private static IEnumerable<(string Own, string Key, long Value)> Constants()
    {
        foreach ((Type type, string prefix) in Enums)
        {
            foreach (object value in Enum.GetValues(type))
            {
                yield return ($"{type.Name}.{value}", Normal(prefix + value), Convert.ToInt64(value));
            }
        }

        Type[] classes =
        [
            .. typeof(NlWriter).Assembly.GetTypes().Where(type => type.IsAbstract && type.IsSealed
                && type.Namespace is "Agent.Netlink" or "Agent.Netlink.Route" or "Agent.Netlink.Nflog"
                && type.Name is not ("LinkCodec" or "NlmFAck" or "HostFile" or "NflogCodec")),
            .. typeof(NftExpr).Assembly.GetTypes().Where(type => type.IsAbstract && type.IsSealed
                && type.Namespace == "Agent.Nftables.Wire" && type.Name.StartsWith("Nf", StringComparison.Ordinal)
                && type.Name != "NfMessage"),
        ];
        foreach (Type type in classes)
        {
            foreach (FieldInfo field in type.GetFields(
                BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Static)
                .Where(field => field.IsLiteral))
            {
                string name = type.Name == "NftObjectType" ? "NftObject" : type.Name;
                yield return ($"{type.Name}.{field.Name}", Normal(name + field.Name),
                    Convert.ToInt64(field.GetRawConstantValue()));
            }
        }
    }

    /// <summary>Identifiers of the headers, by their name without underscores and case.</summary>
    private static Dictionary<string, string> Names()
    {
        var names = new Dictionary<string, string>();
        foreach (string header in Headers)
        {
            string text = File.ReadAllText(Path.Combine("/usr/include", header));
            foreach (Match match in Regex.Matches(
                text,
                @"\b(?:NLM|NFNL|NFULNL|NFULA|NFT|NFTA|NFPROTO|RTM|RTNLGRP|IFLA|IFF|IF|NLMSG|NLMSGERR)_[A-Z0-9_]+\b"))
            {
                names.TryAdd(Normal(match.Value), match.Value);
            }
        }

        return names;
    }

    private static string Normal(string name)
    {
        string key = name.Replace("_", "").ToLowerInvariant();

        // Values of a kind share a plain prefix with the kind's flags in the header; ours carry the kind's name.
        return key switch
        {
            "nftpayloadlinklayer" => "nftpayloadllheader",
            "nftpayloadnetwork" => "nftpayloadnetworkheader",
            "nftpayloadtransport" => "nftpayloadtransportheader",
            "nftsetflaginterval" => "nftsetinterval",
            "nftsetflagmap" => "nftsetmap",
            "nftsetflagobject" => "nftsetobject",
            "nftsetflagconcat" => "nftsetconcat",
            "nftmetapriority" => "nftmetapriority",
            _ => key,
        };
    }

    private static (int Code, string Errors) Compile(string program)
    {
        using var compiler = Process.Start(new ProcessStartInfo("cc", "-fsyntax-only -x c -")
        {
            RedirectStandardInput = true,
            RedirectStandardError = true,
        })!;
        compiler.StandardInput.Write(program);
        compiler.StandardInput.Close();
        string errors = compiler.StandardError.ReadToEnd();
        compiler.WaitForExit();
        return (compiler.ExitCode, errors);
    }
}
