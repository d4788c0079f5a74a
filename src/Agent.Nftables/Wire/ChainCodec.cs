using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Chains: facing write and read.</summary>
internal static class ChainCodec
{
    private const uint PolicyDrop = 0; // linux/netfilter.h NF_DROP
    private const uint PolicyAccept = 1; // NF_ACCEPT
    private const uint NetdevIngress = 0; // NF_NETDEV_INGRESS
    private const uint NetdevEgress = 1; // NF_NETDEV_EGRESS
    private const uint FlagBase = 1; // nf_tables.h NFT_CHAIN_BASE
    private const string FilterType = "filter";

    internal static void Write(NlWriter writer, NftFamily family, string table, string chain, BaseHook? hook)
    {
        writer.PutText(NftaChain.Table, table);
        writer.PutText(NftaChain.Name, chain);
        if (hook is null)
        {
            return;
        }

        writer.PutText(NftaChain.Type, FilterType);
        writer.PutU32Be(NftaChain.Policy, PolicyAccept);
        NlMark nest = writer.BeginNest(NftaChain.Hook);
        writer.PutU32Be(NftaHook.Hooknum, WireHook(family, hook.Hook));
        writer.PutS32Be(NftaHook.Priority, hook.Priority);
        if (hook.Device is not null)
        {
            writer.PutText(NftaHook.Dev, hook.Device);
        }

        writer.EndNest(nest);
    }

    /// <returns>The table's name, and the chain without its rules.</returns>
    internal static (string Table, NftChain Chain) Read(NlAttrs attrs, NftFamily family)
    {
        string table = "";
        string name = "";
        string? unexpected = null;
        bool drop = false;
        BaseHook? hook = null;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaChain.Table: table = attr.Text(); break;
                case NftaChain.Name: name = attr.Text(); break;
                case NftaChain.Hook: hook = ReadHook(attr.Nested, family); break;
                case NftaChain.Policy when attr.U32Be() == PolicyAccept: break;
                case NftaChain.Policy when attr.U32Be() == PolicyDrop: drop = true; break;
                case NftaChain.Policy: unexpected = $"policy {attr.U32Be()}"; break;
                case NftaChain.Type when attr.Text() == FilterType: break;
                case NftaChain.Type: unexpected = $"type {attr.Text()}"; break;
                case NftaChain.Flags when (attr.U32Be() & ~FlagBase) == 0: break;
                case NftaChain.Flags: unexpected = $"chain flags {attr.U32Be()}"; break;
                default: break; // handle, use, counters, user data: no packet is judged by them
            }
        }

        NfMessage.MustName("chain", table, name);
        hook = hook is null ? null
            : hook with { PolicyDrop = drop, Unexpected = unexpected ?? hook.Unexpected };
        return (table, new NftChain(name, hook, []));
    }

    private static uint WireHook(NftFamily family, NftHook hook) => (family, hook) switch
    {
        (NftFamily.Netdev, NftHook.Ingress) => NetdevIngress,
        (NftFamily.Netdev, NftHook.Egress) => NetdevEgress,
        _ => (uint)hook,
    };

    private static BaseHook ReadHook(NlAttrs attrs, NftFamily family)
    {
        uint? number = null;
        int? priority = null;
        string? device = null;
        string? unexpected = null;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaHook.Hooknum: number = attr.U32Be(); break;
                case NftaHook.Priority: priority = attr.S32Be(); break;
                case NftaHook.Dev: device = attr.Text(); break;
                case NftaHook.Devs: unexpected = ReadDevices(attr.Nested, ref device) ?? unexpected; break;
                default: unexpected = $"hook attribute {attr.Type}"; break;
            }
        }

        if (number is not { } at || priority is not { } order)
        {
            throw new NetlinkFormatException("a hook without a number or a priority");
        }

        NftHook? hook = HookOf(family, at);
        return new BaseHook(hook ?? NftHook.Ingress, order, device)
        {
            Unexpected = hook is null ? $"hook {at}" : unexpected,
        };
    }

    /// <returns>Null: none that this build knows. An inet table's ingress has the number of netdev's here.</returns>
    private static NftHook? HookOf(NftFamily family, uint number) => (family, number) switch
    {
        (NftFamily.Netdev, NetdevIngress) => NftHook.Ingress,
        (NftFamily.Netdev, NetdevEgress) => NftHook.Egress,
        (NftFamily.Netdev, _) or (_, > (uint)NftHook.Ingress) => null,
        _ => (NftHook)number,
    };

    /// <returns>Null if there is at most one device, by its full name.</returns>
    private static string? ReadDevices(NlAttrs devices, ref string? device)
    {
        int count = 0;
        foreach (NlAttr attr in devices)
        {
            if (attr.Type != NftaDevice.Name)
            {
                return "hook on a name prefix";
            }

            device = attr.Text();
            count++;
        }

        return count > 1 ? $"hook on {count} devices" : null;
    }
}
