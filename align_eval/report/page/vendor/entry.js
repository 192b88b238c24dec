export { init, use, getInstanceByDom } from 'echarts/core';
import { use } from 'echarts/core';
import { HeatmapChart, CustomChart } from 'echarts/charts';
import { GridComponent, VisualMapContinuousComponent, TitleComponent } from 'echarts/components';
import { CanvasRenderer, SVGRenderer } from 'echarts/renderers';
// What the page draws with; see README.md.
use([HeatmapChart, CustomChart, GridComponent, VisualMapContinuousComponent, TitleComponent, CanvasRenderer, SVGRenderer]);
