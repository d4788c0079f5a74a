using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Lookup
    {
        private const uint VerdictRegister = 0; // nf_tables.h NFT_REG_VERDICT

        internal override string WireName => "lookup";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaLookup.Sreg, Sreg);
            writer.PutText(NftaLookup.Set, Set);
            if (Negated)
            {
                writer.PutU32Be(NftaLookup.Flags, NftLookupF.Inv);
            }
        }

        internal static void WriteMap(NlWriter writer, string map, NftReg sreg, NftReg? dreg)
        {
            writer.PutRegister(NftaLookup.Sreg, sreg);
            if (dreg is { } to)
            {
                writer.PutRegister(NftaLookup.Dreg, to);
            }
            else
            {
                writer.PutU32Be(NftaLookup.Dreg, VerdictRegister);
            }

            writer.PutText(NftaLookup.Set, map);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            string? set = null;
            NftReg? sreg = null;
            NftReg? dreg = null;
            bool toVerdict = false;
            uint flags = 0;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaLookup.Set: set = attr.Text(); break;
                    case NftaLookup.Sreg: sreg = attr.Register(); break;
                    case NftaLookup.Dreg when attr.U32Be() == VerdictRegister: toVerdict = true; break;
                    case NftaLookup.Dreg: dreg = attr.Register(); break;
                    case NftaLookup.Flags: flags = attr.U32Be(); break;
                    default: return null;
                }
            }

            if (set is null || sreg is not { } from || flags > NftLookupF.Inv)
            {
                return null;
            }

            bool negated = flags == NftLookupF.Inv;
            return (toVerdict, dreg, negated) switch
            {
                (false, null, _) => new Lookup(set, from, negated),
                (false, { } to, false) => new LookupData(set, from, to),
                (true, null, false) => new LookupVerdict(set, from),
                _ => null,
            };
        }
    }

    public sealed partial record LookupData
    {
        internal override string WireName => "lookup";

        internal override void WriteData(NlWriter writer) => Lookup.WriteMap(writer, Map, Sreg, Dreg);
    }

    public sealed partial record LookupVerdict
    {
        internal override string WireName => "lookup";

        internal override void WriteData(NlWriter writer) => Lookup.WriteMap(writer, Map, Sreg, dreg: null);
    }
}
